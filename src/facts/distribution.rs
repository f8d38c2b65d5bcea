//! Distributions of Kubernetes that make the API server's flags themselves, without kubeadm. This program can't help
//! there, but it can say where their own settings are.

/// A distribution that is not made by kubeadm.
#[derive(Debug, PartialEq, Eq)]
pub struct Distribution {
    pub name: &'static str,
    /// Any of these paths shows that the node is one of its nodes.
    pub signs: &'static [&'static str],
    /// Any of these paths shows a node that never runs an API server, if none of `server` exists.
    pub agent: &'static [&'static str],
    /// Any of these paths shows a node that runs an API server.
    pub server: &'static [&'static str],
    /// The directory in which it writes the API server's manifest itself, at each start.
    pub manifests: Option<&'static str>,
    /// The `ID` in its os-release file, if it is an operating system.
    pub os: Option<&'static str>,
    /// Where its audit settings go, in the imperative.
    pub advice: &'static str,
    /// How its settings are written.
    pub form: Form,
}

/// How a distribution writes the flags of its API server.
#[derive(Debug, PartialEq, Eq)]
pub enum Form {
    /// As items of `kube-apiserver-arg`; these are settings of their own.
    Items(&'static [&'static str]),
    /// As `spec.api.extraArgs`, a mapping.
    Mapping,
    /// As they are, one a line.
    Words,
    /// It has settings of its own.
    Own,
}

/// The known distributions. Their documentation names the settings.
pub const DISTRIBUTIONS: &[Distribution] = &[
    Distribution {
        name: "RKE2",
        signs: &["/etc/rancher/rke2", "/var/lib/rancher/rke2"],
        agent: &["/var/lib/rancher/rke2/agent", "/etc/systemd/system/multi-user.target.wants/rke2-agent.service"],
        server: &["/var/lib/rancher/rke2/server/tls"],
        manifests: Some("/var/lib/rancher/rke2/agent"),
        os: None,
        advice: "write a policy to the path that is named below (kube-audit-bootstrap policy show cis >PATH), add these lines to /etc/rancher/rke2/config.yaml on \
                 each server, and run systemctl restart rke2-server",
        form: Form::Items(&["audit-policy-file"]),
    },
    Distribution {
        name: "K3s",
        signs: &["/etc/rancher/k3s", "/var/lib/rancher/k3s"],
        agent: &["/var/lib/rancher/k3s/agent", "/etc/systemd/system/k3s-agent.service"],
        server: &["/var/lib/rancher/k3s/server/tls", "/etc/systemd/system/k3s.service"],
        manifests: Some("/var/lib/rancher/k3s/agent"),
        os: None,
        advice: "write a policy to the path that is named below (kube-audit-bootstrap policy show cis >PATH), add these lines to /etc/rancher/k3s/config.yaml on \
                 each server, and run systemctl restart k3s",
        form: Form::Items(&[]),
    },
    Distribution {
        name: "k0s",
        signs: &["/etc/k0s", "/var/lib/k0s"],
        agent: &[],
        server: &[],
        manifests: None,
        os: None,
        advice: "write a policy to the path that is named below (kube-audit-bootstrap policy show cis >PATH), make the log directory, let the user kube-apiserver \
                 read the one and write in the other (no mounts are needed), add these lines to /etc/k0s/k0s.yaml on each \
                 controller, and run systemctl restart k0scontroller",
        form: Form::Mapping,
    },
    Distribution {
        name: "MicroK8s",
        signs: &["/var/snap/microk8s"],
        agent: &[],
        server: &[],
        manifests: None,
        os: None,
        advice: "write a policy to the path that is named below (kube-audit-bootstrap policy show cis >PATH), make the log directory (no mounts are needed), add these \
                 lines to /var/snap/microk8s/current/args/kube-apiserver on each node, and run snap restart \
                 microk8s.daemon-kubelite",
        form: Form::Words,
    },
    Distribution {
        name: "Talos",
        signs: &[],
        agent: &[],
        server: &[],
        manifests: None,
        os: Some("talos"),
        advice: "set cluster.apiServer.auditPolicy in the machine configuration",
        form: Form::Own,
    },
];
