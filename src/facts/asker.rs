//! Who asks the API server of a node. What is wrong with one of them, such as a certificate that has expired, says
//! nothing about the API server.

/// Whose credentials a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// The cluster's administrator, by admin.conf.
    Admin,
    /// The API server itself, by the client certificate that it has for kubelets. kubeadm gives it an administrator's
    /// rights.
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

    /// The user of its requests, and the groups that this user can be in: the administrators' group is the second one
    /// since Kubernetes 1.29, the first one before. `None` if the user has another name on each node.
    pub fn user(self) -> Option<(&'static str, [&'static str; 2])> {
        const ADMINISTRATORS: [&str; 2] = ["system:masters", "kubeadm:cluster-admins"];
        match self {
            Asker::Admin => Some(("kubernetes-admin", ADMINISTRATORS)),
            Asker::ApiServer => Some(("kube-apiserver-kubelet-client", ADMINISTRATORS)),
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
