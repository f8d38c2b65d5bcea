//! `verify`: proves that the API server that runs here audits.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::common::{Common, Outcome, Overrides, configuration};
use crate::audit::flags;
use crate::facts::asker::{Answered, Asker};
use crate::plan::Occasion;
use crate::run::misuse::Misuse;
use crate::run::prove::{self, Evidence, Proved, Verified};

/// Prove that the API server of this node audits: it runs with the manifest's flags, answers, and writes an event
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// How long to wait for the proof
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    wait: Duration,
}

/// Parses a duration on the command line. It must be more than zero.
///
/// # Errors
///
/// The text is not a duration; the error says what to write.
pub fn duration(text: &str) -> Result<Duration, String> {
    let duration = flags::duration(text).filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| "write a duration such as 90s or 5m".to_owned())
}

impl VerifyArgs {
    /// Runs the verb. What it prints on stdout goes to `out`.
    ///
    /// # Errors
    ///
    /// There is no proof; the error says why.
    pub fn run(self, common: &Common, out: &mut String) -> Result<Outcome> {
        let root = common.open_root()?;
        let config = configuration(&root, common.config.as_deref(), &Overrides::default(), Occasion::Any)?;
        if !root.is_host() {
            let why = "a proof needs a running API server; leave out --root";
            return Err(Misuse(format!("{}: {why}", common.root.display())).into());
        }
        match prove::verify(&root, &config, self.wait)? {
            Verified::NoApiServer(why) => print(common, out, &why, nothing_to_prove(&why)),
            Verified::Proved(proved, warnings) => {
                // The document has no field for them.
                warnings.iter().for_each(|warning| log::warn!("{warning}"));
                print(common, out, &text(&proved), document(&proved));
            }
        }
        Ok(Outcome::Done)
    }
}

fn nothing_to_prove(why: &str) -> Value {
    json!({"proved": null, "reason": why})
}

fn print(common: &Common, out: &mut String, text: &str, document: Value) {
    let _ = match common.json() {
        true => writeln!(out, "{document:#}"),
        false => writeln!(out, "{text}"),
    };
}

/// The proof, for people.
pub fn text(proved: &Proved) -> String {
    let how = match proved.evidence {
        Evidence::Question(path) => format!("it recorded a request for {path}"),
        Evidence::Traffic => "it recorded what the cluster does".to_owned(),
        Evidence::Nothing => {
            "it answers; its policy records nothing, so there was no event to wait for".to_owned()
        }
        Evidence::Rare => {
            "it answers, and reports no event that it could not write; nothing that its policy records has happened yet"
                .to_owned()
        }
        Evidence::Elsewhere => {
            "it answers; its events go to a webhook or a volume of its pod, where the program can't look"
                .to_owned()
        }
    };
    let asked = match proved.answered {
        Answered::To(Asker::Admin) => String::new(),
        Answered::To(asker) => {
            format!(" (asked with the certificate of {}, as admin.conf is of no use)", asker.word())
        }
        Answered::ByItsPort => " (it listens on its port, and kubectl can't ask it)".to_owned(),
    };
    let runs = "runs with the audit flags of the manifest";
    let after = proved.after.as_secs();
    format!("the API server (process {}) {runs}: {how}{asked}, after {after} s", proved.process.pid)
}

/// The proof, as JSON.
pub fn document(proved: &Proved) -> Value {
    let event = match proved.evidence {
        Evidence::Question(path) => Some(path),
        Evidence::Traffic => Some("traffic"),
        Evidence::Nothing | Evidence::Elsewhere | Evidence::Rare => None,
    };
    json!({
        "proved": true,
        "process": proved.process.pid,
        "asked": proved.answered.word(),
        "event": event,
        "seconds": proved.after.as_secs_f64(),
    })
}

#[cfg(test)]
pub mod tests {
    use super::super::contract;
    use super::*;
    use crate::facts::server::Process;

    /// A proof of each kind.
    pub fn proofs() -> Vec<Proved> {
        let arguments = vec!["kube-apiserver".to_owned()];
        let process = Process { pid: 1234, started: 1, arguments };
        let kinds = [
            (Evidence::Question("/version"), Answered::To(Asker::Admin)),
            (Evidence::Traffic, Answered::ByItsPort),
            (Evidence::Nothing, Answered::To(Asker::ApiServer)),
            (Evidence::Elsewhere, Answered::To(Asker::Kubelet)),
            (Evidence::Rare, Answered::To(Asker::Admin)),
        ];
        let after = Duration::from_millis(36_200);
        kinds.map(|(evidence, answered)| Proved { process: process.clone(), evidence, answered, after }).into()
    }

    #[test]
    fn a_proof_is_told_to_people_and_programs() {
        let mut documents = Vec::new();
        let runs = "the API server (process 1234) runs with the audit flags of the manifest";
        let as_whom = |word| format!("(asked with the certificate of {word}, as admin.conf is of no use)");
        for (proved, event, asked, words) in [
            (0, json!("/version"), "admin.conf", "it recorded a request for /version".to_owned()),
            (
                1,
                json!("traffic"),
                "port",
                "it recorded what the cluster does (it listens on its port, and kubectl can't ask it)".to_owned(),
            ),
            (
                2,
                Value::Null,
                "apiserver-kubelet-client",
                "it answers; its policy records nothing, so there was no event to wait for ".to_owned()
                    + &as_whom("apiserver-kubelet-client"),
            ),
            (
                3,
                Value::Null,
                "kubelet-client",
                "it answers; its events go to a webhook or a volume of its pod, where the program can't look "
                    .to_owned()
                    + &as_whom("kubelet-client"),
            ),
            (
                4,
                Value::Null,
                "admin.conf",
                "it answers, and reports no event that it could not write; nothing that its policy records has happened yet".to_owned(),
            ),
        ]
        .map(|(at, event, asked, text)| (proofs().swap_remove(at), event, asked, text))
        {
            let document = document(&proved);
            let wanted = json!({"proved": true, "process": 1234, "asked": asked, "event": event, "seconds": 36.2});
            assert_eq!(document, wanted);
            assert_eq!(text(&proved), format!("{runs}: {words}, after 36 s"));
            documents.push(document);
        }
        contract::holds(&contract::shape("proof"), &documents);
        let none = nothing_to_prove("there is no API server here");
        assert_eq!(none, json!({"proved": null, "reason": "there is no API server here"}));
        contract::holds(&contract::shape("nothing to prove"), &[none]);
    }

    #[test]
    fn durations_are_gos() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        for wrong in ["", "5", "-5s", "0s", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
