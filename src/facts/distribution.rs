//! Distributions of Kubernetes that make the API server's flags themselves, without kubeadm. This program can't help
//! there, but it can say where their own settings are.

/// A distribution that is not made by kubeadm.
#[derive(Debug, PartialEq, Eq)]
pub struct Distribution {
    pub name: &'static str,
    /// Any of these paths shows that the node is one of its nodes.
    pub signs: &'static [&'static str],
    /// The `ID` in its os-release file, if it is an operating system.
    pub os: Option<&'static str>,
    /// Where its audit settings go, in the imperative.
    pub advice: &'static str,
}

/// The known distributions. Their documentation names the settings.
pub const DISTRIBUTIONS: &[Distribution] = &[
    Distribution {
        name: "RKE2",
        signs: &["/etc/rancher/rke2", "/var/lib/rancher/rke2"],
        os: None,
        advice: "set audit-policy-file and, for the log, kube-apiserver-arg in /etc/rancher/rke2/config.yaml",
    },
    Distribution {
        name: "K3s",
        signs: &["/etc/rancher/k3s", "/var/lib/rancher/k3s"],
        os: None,
        advice: "set kube-apiserver-arg in /etc/rancher/k3s/config.yaml",
    },
    Distribution {
        name: "k0s",
        signs: &["/etc/k0s", "/var/lib/k0s"],
        os: None,
        advice: "set spec.api.extraArgs in /etc/k0s/k0s.yaml",
    },
    Distribution {
        name: "MicroK8s",
        signs: &["/var/snap/microk8s"],
        os: None,
        advice: "add the flags to /var/snap/microk8s/current/args/kube-apiserver",
    },
    Distribution {
        name: "Talos",
        signs: &[],
        os: Some("talos"),
        advice: "set cluster.apiServer.auditPolicy in the machine configuration",
    },
];
