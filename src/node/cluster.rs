//! The cluster's kubeadm configuration, the ConfigMap `kube-system/kubeadm-config`. `kubeadm upgrade` and control
//! planes that join read it.

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use super::apiserver;
use super::kubectl::{self, Kubectl};
use crate::change::KUBEADM_CONFIG;

const PATH: &str = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config";
/// The JSON pointer of the text in the object.
const TEXT: &str = "/data/ClusterConfiguration";

/// How many times a write is tried, because something else may write the object meanwhile.
const TRIES: usize = 5;

/// Reads the ClusterConfiguration, as YAML text.
///
/// # Errors
///
/// It can't be read, for example because no API server runs here.
pub fn read() -> Result<String> {
    Ok(get()?.2)
}

/// Replaces the ClusterConfiguration `before` by `after`, and keeps the rest of the object. If the text is `after`
/// already, it writes nothing. `sent` becomes true as soon as the text may have been written.
///
/// # Errors
///
/// The text is neither `before` nor `after`; it can't be read or written.
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
        // The body has the resourceVersion that was read, so no other change is overwritten.
        match kubectl.put(PATH, &object.to_string()) {
            Err(error) if tries == TRIES => {
                return Err(error).with_context(|| format!("{KUBEADM_CONFIG} can't be written"));
            }
            // A conflict, or an answer that was lost.
            Err(error) => log::info!("{error:#}; trying again"),
            Ok(()) => break,
        }
    }
    Ok(())
}

/// Whether the present text `now` must be replaced.
///
/// # Errors
///
/// It is neither `before` nor `after`.
fn differs(now: &str, before: &str, after: &str) -> Result<bool> {
    match now {
        _ if now == after => Ok(false),
        _ if now == before => Ok(true),
        _ => bail!("{KUBEADM_CONFIG} was changed by another program meanwhile; run again"),
    }
}

/// The kubectl whose API server answered, the object, and the text in it.
fn get() -> Result<(Kubectl, Value, String)> {
    let mut failed = anyhow!("no API server runs here");
    // Another API server may run in a container here, of a test cluster for example.
    for process in &apiserver::find_processes().api_servers {
        match kubectl::read_as_admin(process, PATH) {
            Ok((answer, kubectl)) => {
                let object: Value =
                    serde_json::from_str(&answer).with_context(|| format!("{KUBEADM_CONFIG} can't be parsed"))?;
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
