//! The command line of kube-apiserver, wherever it stands: in a manifest, in a shell line or in a process.

use super::flags::{self, Flags, Takes};
use crate::pflag::Arguments;

/// The flags of kube-apiserver that take no value from the next word, in all versions since 1.26. The judge in
/// `vm-tests/oracle/commands` has the same list from the API server itself.
const SWITCHES: &[&str] = &[
    "aggregator-reject-forwarding-redirect",
    "allow-privileged",
    "anonymous-auth",
    "audit-log-batch-throttle-enable",
    "audit-log-compress",
    "audit-log-truncate-enabled",
    "audit-webhook-batch-throttle-enable",
    "audit-webhook-truncate-enabled",
    "contention-profiling",
    "disable-http2-serving",
    "emulation-forward-compatible",
    "enable-aggregator-routing",
    "enable-bootstrap-token-auth",
    "enable-garbage-collector",
    "enable-logs-handler",
    "enable-priority-and-fairness",
    "encryption-provider-config-automatic-reload",
    "help",
    "log-json-split-stream",
    "log-text-split-stream",
    "permit-address-sharing",
    "permit-port-sharing",
    "profiling",
    "runtime-config-emulation-forward-compatible",
    "service-account-extend-token-expiration",
    "service-account-lookup",
    "shutdown-send-retry-after",
    "version",
    "watch-cache",
];

const PROGRAM: &str = "kube-apiserver";

/// Whether a word is this program, by its name or by a path.
pub fn is_program(word: &str, name: &str) -> bool {
    !word.starts_with('-') && word.rsplit('/').next() == Some(name)
}

/// The position of the first word after the program, if these words start the API server: the first word is the
/// program, or a path to the program follows a wrapper. The bare name anywhere else is an argument of another program.
pub fn start<T: AsRef<str>>(words: &[T]) -> Option<usize> {
    let word = |at: usize| words.get(at).map(AsRef::as_ref).unwrap_or_default();
    (0..words.len()).find_map(|at| {
        let started = at == 0 || word(at).starts_with('/');
        if started && is_program(word(at), PROGRAM) {
            Some(at + 1)
        } else if started && is_program(word(at), "hyperkube") && ["apiserver", PROGRAM].contains(&word(at + 1)) {
            Some(at + 2)
        } else {
            None
        }
    })
}

/// Reads the API server's own words as it does: underscores in names count as dashes.
pub fn read<T: AsRef<str>>(words: &[T]) -> Arguments<'_> {
    Arguments::of(words, |name| SWITCHES.contains(&flags::normal(name).as_str()), &[('h', "help")])
}

/// Reads the words of a program that is not known, but seems to hand them to the API server: of the flags that are not
/// audit flags, it is not known whether they take the next word.
pub fn read_of_wrapper<T: AsRef<str>>(words: &[T]) -> Arguments<'_> {
    Arguments::of(
        words,
        |name| matches!(flags::takes(&flags::normal(name)), None | Some(Takes::Bool)),
        &[('h', "help")],
    )
}

/// The value of each flag, by its [normal](flags::normal) name. If a flag is there twice, the last one counts.
pub fn values(arguments: &Arguments<'_>) -> Flags {
    flags::from_pairs(arguments.flags.iter().map(|flag| (flags::normal(flag.written), flag.value.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_servers_own_words_begin_behind_its_program() {
        for (line, expected) in [
            ("kube-apiserver --v=2", Some(1)),
            ("/usr/local/bin/kube-apiserver", Some(1)),
            ("/go-runner --log-file=/l /usr/local/bin/kube-apiserver --v=2", Some(3)),
            ("/hyperkube apiserver --v=2", Some(2)),
            ("/tini -- /hyperkube kube-apiserver", Some(4)),
            ("hyperkube kubelet kube-apiserver", None),
            ("hyperkube", None),
            ("watch kube-apiserver", None),
            ("--kube-apiserver", None),
            ("", None),
        ] {
            let words: Vec<_> = line.split(' ').collect();
            assert_eq!(start(&words), expected, "{line}");
        }
    }

    #[test]
    fn flags_have_every_form_that_pflag_takes() {
        for (line, expected) in [
            ("--secure-port 8443 --secure_port=9443", "secure-port=9443"),
            ("--profiling --audit-log-path /a", "audit-log-path=/a profiling=true"),
            ("--audit_log_compress /w --audit-log-path -", "audit-log-compress=true audit-log-path=-"),
            ("--audit-log-path --v=2", "audit-log-path=--v=2"),
            ("-v 3 --a=1 -- --b=2", "a=1 v=3"),
        ] {
            let words: Vec<_> = line.split(' ').collect();
            let found: Vec<_> =
                values(&read(&words)).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
            assert_eq!(found.join(" "), expected, "{line}");
        }
        // A wrapper's own flags take nothing.
        let words = ["--quiet", "--audit-log-path", "/a"];
        assert_eq!(values(&read_of_wrapper(&words)).get("audit-log-path").map(String::as_str), Some("/a"));
    }
}
