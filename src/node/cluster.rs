//! The cluster's own copy of kubeadm's configuration: `kubeadm upgrade` and control planes that join read it.

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use super::apiserver;
use super::kubectl::Kubectl;
use crate::change::KUBEADM_CONFIG;

const PATH: &str = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config";
/// Where in the object the text is.
const TEXT: &str = "/data/ClusterConfiguration";

/// How often is tried again where somebody else wrote the object meanwhile.
const TRIES: usize = 5;

/// The ClusterConfiguration, as text.
///
/// Errors: why it can't be read, such as that no API server runs here.
pub fn read() -> Result<String> {
    Ok(get()?.2)
}

/// Replaces the ClusterConfiguration `before` by `after`; what else is in the object stays. Where that is so already, nothing is written.
/// `sent` becomes true once it may be written.
///
/// Errors: it was neither; it can't be read or written.
pub fn replace(before: &str, after: &str, sent: &mut bool) -> Result<()> {
    for tries in 1.. {
        let (kubectl, mut object, text) = get()?;
        if !differs(&text, before, after)? {
            return Ok(());
        }
        if let Some(text) = object.pointer_mut(TEXT) {
            *text = Value::String(after.to_owned());
        }
        *sent = true;
        // The body names the version that was read, so nobody's change is lost.
        match kubectl.put(PATH, &object.to_string()) {
            Err(error) if tries == TRIES => {
                return Err(error).with_context(|| format!("{KUBEADM_CONFIG} can't be written"));
            }
            // A conflict, or an answer that was lost.
            Err(error) => log::info!("{error:#}; once more"),
            Ok(()) => break,
        }
    }
    Ok(())
}

/// Is there something to write, where `now` is what is there?
///
/// Errors: it is neither what it was nor what it is to be.
fn differs(now: &str, before: &str, after: &str) -> Result<bool> {
    match now {
        _ if now == after => Ok(false),
        _ if now == before => Ok(true),
        _ => bail!("{KUBEADM_CONFIG} was changed by another program meanwhile; run again"),
    }
}

/// Who answered, the object, and the text in it.
fn get() -> Result<(Kubectl, Value, String)> {
    let mut failed = anyhow!("no API server runs here");
    // One of them may be of somebody's cluster in containers.
    for process in &apiserver::find_processes().api_servers {
        match Kubectl::of(process).and_then(|kubectl| Ok((kubectl.get(PATH)?, kubectl))) {
            Ok((answer, kubectl)) => {
                let object: Value =
                    serde_json::from_str(&answer).with_context(|| format!("{KUBEADM_CONFIG} isn't understood"))?;
                let text = object.pointer(TEXT).and_then(Value::as_str).map(str::to_owned);
                let text = text.with_context(|| format!("{KUBEADM_CONFIG} has no ClusterConfiguration"))?;
                return Ok((kubectl, object, text));
            }
            Err(error) => failed = error,
        }
    }
    Err(failed).with_context(|| format!("{KUBEADM_CONFIG} can't be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobodys_change_meanwhile_is_written_over() {
        assert!(differs("before", "before", "after").unwrap());
        assert!(!differs("after", "before", "after").unwrap());
        for now in ["", "upgraded"] {
            let error = differs(now, "before", "after").unwrap_err().to_string();
            assert!(error.contains("was changed by another program meanwhile"), "{error}");
        }
    }
}
