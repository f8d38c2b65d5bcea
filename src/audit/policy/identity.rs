//! The names of users and groups that Kubernetes itself gives out, and names that it can't give out.

use super::evaluate::groups_of;
use super::findings::{Id, Report};
use super::read::{is_dns_label, is_dns_subdomain};
use super::{Rule, Word};
use crate::yaml::fields::brief;

/// Groups that Kubernetes and kubeadm give to users.
const GROUPS: [&str; 8] = [
    "kubeadm:cluster-admins",
    "system:authenticated",
    "system:bootstrappers",
    "system:masters",
    "system:monitoring",
    "system:nodes",
    "system:serviceaccounts",
    "system:unauthenticated",
];

/// Users that no supported Kubernetes has: that of the insecure port, which 1.24 removed, and that of kubelets before
/// each had its own name.
const GONE: [(&str, &str); 2] = [
    ("system:unsecured", "it was the user of the insecure port, which Kubernetes 1.24 removed"),
    ("kubelet", "kubelets are system:node:NAME of the group system:nodes"),
];

/// Can there be a user with this name?
pub fn is_user(user: &str) -> bool {
    !user.contains('*') && user_fault(user).is_none()
}

/// Can there be a group with this name?
pub fn is_group(group: &str) -> bool {
    !group.contains('*') && group_fault(group).is_none()
}

/// Who makes a request, as far as the name and the groups of a user say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Anybody whom Kubernetes has given no name of its own.
    Person,
    /// A service account, but for those of kube-system.
    Account,
    /// Nobody who is known.
    Stranger,
    /// A login that failed: a user without a name and without groups.
    Nobody,
    /// A part of Kubernetes: the control plane, a node, or a service account of kube-system.
    Component,
}

/// Who a user is.
pub fn who(user: &str) -> Who {
    match user.strip_prefix("system:") {
        _ if user.is_empty() => Who::Nobody,
        Some("anonymous") => Who::Stranger,
        // OpenShift's administrator, who has a certificate.
        Some("admin") | None => Who::Person,
        Some(rest) => match rest.strip_prefix("serviceaccount:") {
            Some(account) if !account.starts_with("kube-system:") => Who::Account,
            _ => Who::Component,
        },
    }
}

/// The groups that a user surely has.
pub fn groups_of_user(user: &str) -> Vec<String> {
    // Older API servers give their own client system:masters alone.
    if user == "system:apiserver" { Vec::new() } else { groups_of(user, Vec::new()) }
}

/// The groups that whoever has this group surely has, too.
pub fn groups_of_group(group: &str) -> Vec<String> {
    match group.strip_prefix("system:serviceaccounts:") {
        // The API server's own client is in system:masters; see above.
        None if ["system:unauthenticated", "system:masters"].contains(&group) => Vec::new(),
        None => vec!["system:authenticated".to_owned()],
        Some(namespace) => groups_of_user(&format!("system:serviceaccount:{namespace}:")),
    }
}

/// Whether anybody can have the name and a group that a rule asks for.
pub fn is_of_anybody(rule: &Rule) -> bool {
    let any = |words: &[Word], is_right: fn(&str) -> bool| {
        words.is_empty() || words.iter().any(|word| is_right(&word.text))
    };
    any(&rule.users, is_user) && any(&rule.user_groups, is_group)
}

/// Finds names in the users and groups of a rule that nobody can have there.
pub fn check(rule: &Rule, path: &str, out: &mut Report<'_>) {
    // A star is found already.
    let plain = |word: &&Word| !word.text.contains('*');
    let is_gone = |word: &Word| GONE.iter().any(|(gone, _)| *gone == word.text);
    for word in rule.users.iter().filter(plain) {
        if let Some((id, advice)) = user_fault(&word.text) {
            // A rule without users is for everybody.
            let remedy = match id {
                Id::GoneIdentity if rule.users.iter().all(is_gone) => "; remove the rule",
                Id::GoneIdentity => "; remove it",
                _ => "",
            };
            out.add(id, word, format!("{path}.users: {} {advice}{remedy}", brief(&word.text)));
        }
    }
    for word in rule.user_groups.iter().filter(plain) {
        if let Some((id, advice)) = group_fault(&word.text) {
            out.add(id, word, format!("{path}.userGroups: {} {advice}", brief(&word.text)));
        }
    }
}

/// What is wrong with the name of a user.
pub fn user_fault(user: &str) -> Option<(Id, String)> {
    let of_accounts = user.starts_with("system:serviceaccounts:") || user.starts_with("system:bootstrappers:");
    if GROUPS.contains(&user) || of_accounts {
        return Some((Id::GroupAsUser, "is a group; write it in userGroups".to_owned()));
    }
    if let Some((_, why)) = GONE.iter().find(|(gone, _)| *gone == user) {
        return Some((Id::GoneIdentity, format!("is no user any more: {why}")));
    }
    account_fault(user).or_else(|| node_fault(user)).map(|advice| (Id::ImpossibleName, advice.to_owned()))
}

/// What is wrong with the name of a service account's user: `MatchesUsername` and `SplitUsername` of
/// `k8s.io/apiserver/pkg/authentication/serviceaccount`.
pub fn account_fault(user: &str) -> Option<&'static str> {
    let rest = user.strip_prefix("system:serviceaccount")?;
    let account = rest.strip_prefix(':').and_then(|rest| rest.split_once(':'));
    let is_right = account.is_some_and(|(namespace, name)| is_dns_label(namespace) && is_dns_subdomain(name));
    (!is_right).then_some("is no service account; write system:serviceaccount:NAMESPACE:NAME")
}

/// What is wrong with the name of a node's user.
fn node_fault(user: &str) -> Option<&'static str> {
    let is_right = match user.strip_prefix("system:node") {
        Some("") => false,
        Some(rest) => rest.strip_prefix(':').is_none_or(is_dns_subdomain),
        None => true,
    };
    (!is_right).then_some("is no node; write system:node:NAME, or the group system:nodes in userGroups")
}

fn group_fault(group: &str) -> Option<(Id, String)> {
    let is_user = group.starts_with("system:serviceaccount:")
        || group.starts_with("system:node:")
        || ["system:anonymous", "system:apiserver"].contains(&group);
    if is_user {
        return Some((Id::UserAsGroup, "is a user; write it in users".to_owned()));
    }
    let advice = match group.strip_prefix("system:serviceaccounts:") {
        Some(namespace) if !is_dns_label(namespace) => {
            "is no group of service accounts; write system:serviceaccounts:NAMESPACE"
        }
        _ if group == "system:serviceaccount" => "is no group; write system:serviceaccounts",
        _ if group == "system:node" => "is no group; write system:nodes",
        _ if GONE.iter().any(|(gone, _)| *gone == group) => {
            return Some((
                Id::GoneIdentity,
                "is no group: it was a user, whom no supported Kubernetes has; remove it".to_owned(),
            ));
        }
        _ => return None,
    };
    Some((Id::ImpossibleName, advice.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_nobody_has_are_found() {
        for (user, expected) in [
            ("alice", None),
            ("system:masters", Some(Id::GroupAsUser)),
            ("system:serviceaccounts:team", Some(Id::GroupAsUser)),
            ("system:kube-proxy", None),
            ("system:admin", None),
            ("system:unsecured", Some(Id::GoneIdentity)),
            ("system:serviceaccount:team:robot", None),
            ("system:serviceaccount:team:robot.x", None),
            ("system:serviceaccount:team", Some(Id::ImpossibleName)),
            ("system:serviceaccount:team:", Some(Id::ImpossibleName)),
            ("system:serviceaccount:Team:robot", Some(Id::ImpossibleName)),
            ("system:serviceaccount:a.b:robot", Some(Id::ImpossibleName)),
            ("system:serviceaccount:team:robot:x", Some(Id::ImpossibleName)),
            ("system:node:web-1.example.com", None),
            ("system:node:Web", Some(Id::ImpossibleName)),
            ("system:node:", Some(Id::ImpossibleName)),
            ("system:node", Some(Id::ImpossibleName)),
            // A role of Kubernetes has this name; a user may have it, too.
            ("system:node-problem-detector", None),
        ] {
            assert_eq!(user_fault(user).map(|(id, _)| id), expected, "{user}");
        }
        for (group, expected) in [
            ("ops", None),
            ("system:nodes", None),
            ("system:node", Some(Id::ImpossibleName)),
            ("system:node:a", Some(Id::UserAsGroup)),
            ("system:anonymous", Some(Id::UserAsGroup)),
            ("system:serviceaccount:team:robot", Some(Id::UserAsGroup)),
            ("system:serviceaccount", Some(Id::ImpossibleName)),
            ("system:serviceaccounts:team", None),
            ("system:unsecured", Some(Id::GoneIdentity)),
            ("kubelet", Some(Id::GoneIdentity)),
            ("system:serviceaccounts:team:robot", Some(Id::ImpossibleName)),
            // Certificates that are made by hand have such organizations.
            ("system:kube-controller-manager", None),
        ] {
            assert_eq!(group_fault(group).map(|(id, _)| id), expected, "{group}");
        }
    }

    #[test]
    fn who_somebody_is_follows_from_the_name() {
        for (user, expected) in [
            ("", Who::Nobody),
            ("system:anonymous", Who::Stranger),
            ("jane", Who::Person),
            ("system:admin", Who::Person),
            ("system:serviceaccount:team:robot", Who::Account),
            ("system:serviceaccount:kube-system:robot", Who::Component),
            ("system:node:a", Who::Component),
            ("system:apiserver", Who::Component),
        ] {
            assert_eq!(who(user), expected, "{user}");
        }
    }
}
