//! Who asks the API server of a node. What is wrong with one of them, such as a certificate that has expired, says
//! nothing about the API server.

/// Whose credentials a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// The cluster's administrator, by admin.conf.
    Admin,
    /// The API server itself, by the client certificate that it has for kubelets. It may ask for the health and the
    /// version, and in clusters of an old kubeadm for everything.
    ApiServer,
    /// The kubelet of the node. It may ask for the health and the version.
    Kubelet,
}

impl Asker {
    /// In the order in which they are tried.
    pub const ALL: [Asker; 3] = [Asker::Admin, Asker::ApiServer, Asker::Kubelet];

    /// The word for programs.
    pub fn word(self) -> &'static str {
        match self {
            Asker::Admin => "admin.conf",
            Asker::ApiServer => "apiserver-kubelet-client",
            Asker::Kubelet => "kubelet-client",
        }
    }

    /// The user of its requests, and the groups of which it can be in one, by the version of kubeadm that made its
    /// certificate. `None` if the user has another name on each node.
    pub fn user(self) -> Option<(&'static str, &'static [&'static str])> {
        match self {
            Asker::Admin => Some(("kubernetes-admin", &["system:masters", "kubeadm:cluster-admins"])),
            Asker::ApiServer => {
                let groups = &["system:masters", "kubeadm:cluster-admins", "system:authenticated"];
                Some(("kube-apiserver-kubelet-client", groups))
            }
            Asker::Kubelet => None,
        }
    }
}

/// How it was found that an API server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It was ready, when this one asked.
    To(Asker),
    /// Nobody could ask, and it listens on its port.
    ByItsPort,
}

impl Answered {
    /// The word for programs.
    pub fn word(self) -> &'static str {
        match self {
            Answered::To(asker) => asker.word(),
            Answered::ByItsPort => "port",
        }
    }
}
