//! Judges kubeadm's patches: with them, the API server must audit as the settings say.

use anyhow::{Result, anyhow, bail};

use super::identify::Identity;
use super::{Intent, Occasion, Role};
use crate::audit::version::Version;
use crate::facts::file::Files;
use crate::facts::{PatchDirectory, PatchFacts};
use crate::wiring::kubeadm::{self, PatchUser, Purpose, Reader};
use crate::wiring::patches::{Base, Made, Patched, check, file};
use crate::wiring::{Wanted, Wired, patch};

/// The directory that kubeadm's documentation and installers use. A later `kubeadm upgrade` may be given it.
const USUAL: &str = "/etc/kubernetes/patches";

/// A file that `kubeadm init` reads, edited.
#[derive(Debug)]
pub struct EditedFile<'e> {
    pub path: &'e str,
    /// The text before the edit.
    pub before: &'e str,
    pub after: &'e mut Wired,
    /// The manifest that kubeadm makes of it, if there are patches.
    pub made: &'e mut Option<String>,
}

/// A directory of patches, and who names it.
struct Source {
    /// For messages: the option, or the position in a file.
    named_by: String,
    directory: String,
}

/// The directories of patches that a run looks at.
pub fn directories(intent: &Intent<'_>, node: &Identity<'_>) -> Vec<String> {
    if node.role == Role::Worker {
        return Vec::new();
    }
    let mut directories: Vec<String> = intent.kubeadm.patches.iter().cloned().collect();
    let named = node.kubeadm.iter().flat_map(|(_, file)| &file.patches);
    directories.extend(named.filter_map(|named| absolute(intent, &named.directory)));
    directories.extend((node.role == Role::ControlPlane).then(|| USUAL.to_owned()));
    directories.sort();
    directories.dedup();
    directories
}

/// A directory as the node sees it. `None`: it depends on the directory in which kubeadm is started.
fn absolute(intent: &Intent<'_>, directory: &str) -> Option<String> {
    if directory.starts_with('/') {
        return Some(directory.to_owned());
    }
    let start = intent.kubeadm.directory.as_deref()?;
    Some(format!("{}/{directory}", start.trim_end_matches('/')))
}

/// Judges the manifests that kubeadm is about to make, and puts what they say into `files`, which it reads. On a running control plane, warns of the patches with which an upgrade would end auditing.
///
/// # Errors
///
/// With a patch, the API server would not audit, or would not start: the patch, and what to do.
pub fn judge(
    intent: &Intent<'_>,
    (seen, patches): (&Files, &PatchFacts),
    node: &mut Identity<'_>,
    files: Vec<EditedFile<'_>>,
    cluster: Option<&str>,
) -> Result<Option<Made>> {
    if node.role == Role::Worker {
        return Ok(None);
    }
    let wanted = Wanted::of(intent.config, seen);
    let mut judge = Judge { intent, patches, wanted: &wanted, version: node.version, warnings: Vec::new() };
    let mut made = None;
    let is_running = node.role == Role::ControlPlane || node.lenient;
    let is_due = !is_running || [Occasion::Init, Occasion::Join].contains(&intent.occasion);
    if is_due {
        for file in files {
            let named = node.kubeadm.iter().find(|(text, _)| text.path == file.path);
            let source = named.and_then(|(text, read)| judge.source(&text.path, read, PatchUser::Init));
            let base = Base::Configuration { before: file.before, after: &file.after.text };
            if let Some(found) = source.map(|source| judge.made(&source, base)).transpose()?.flatten() {
                *file.made = Some(found.wired.text.clone());
                // All that is known of the API server is as kubeadm makes it; what is known of the file's text stays.
                *file.after = Wired {
                    text: std::mem::take(&mut file.after.text),
                    notes: std::mem::take(&mut file.after.notes),
                    replaced: std::mem::take(&mut file.after.replaced),
                    ..found.wired.clone()
                };
                made = Some(found);
            }
        }
        if intent.is_without_file(Occasion::Init)
            && let Some(source) = judge.given()
        {
            let ours =
                patch::patch(intent.config, node.version, seen).map_err(|refusal| anyhow!(refusal.reason))?;
            made = judge.made(&source, Base::Patch(&ours))?;
        }
        let joins_now = intent.occasion == Occasion::Join;
        if node.role == Role::Joining || joins_now {
            let joins = node.kubeadm.iter();
            let joins = joins.filter(|(_, file)| joins_now || file.purpose == Purpose::JoinControlPlane);
            let sources: Vec<_> = joins
                .filter_map(|(text, file)| judge.source(&text.path, file, PatchUser::Join))
                .chain(judge.given())
                .collect();
            let usual = usual(&wanted, node.version)?;
            for source in sources {
                made = judge.made(&source, Base::Configuration { before: &usual, after: &usual })?.or(made);
            }
        }
    } else {
        // kubeadm upgrade makes the manifest of the cluster's configuration.
        let usual = usual(&wanted, node.version)?;
        let files = node.kubeadm.iter().flat_map(|(_, file)| &file.patches);
        let named = files.map(|named| named.directory.clone()).chain(intent.kubeadm.patches.clone());
        judge.foresee(&named.collect::<Vec<_>>(), cluster.unwrap_or(&usual));
    }
    node.warnings.append(&mut judge.warnings);
    Ok(made)
}

/// A ClusterConfiguration with the settings alone.
fn usual(wanted: &Wanted, version: Option<Version>) -> Result<String> {
    let text = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n";
    let wired = kubeadm::read(text, "", Reader::Init).and_then(|file| kubeadm::wire(text, &file, wanted, version));
    wired.map(|wired| wired.text).map_err(|refusal| anyhow!(refusal.reason))
}

struct Judge<'j> {
    intent: &'j Intent<'j>,
    patches: &'j PatchFacts,
    wanted: &'j Wanted,
    version: Option<Version>,
    warnings: Vec<String>,
}

impl Judge<'_> {
    /// The directory of the command line.
    fn given(&self) -> Option<Source> {
        let directory = self.intent.kubeadm.patches.clone()?;
        Some(Source { named_by: "--patches".to_owned(), directory })
    }

    /// The directory that counts for a file: that of the command line, or else the file's.
    fn source(&self, path: &str, file: &kubeadm::KubeadmFile, user: PatchUser) -> Option<Source> {
        self.given().or_else(|| {
            let named = file.patches.iter().find(|named| named.user == user)?;
            let named_by = format!("{path}:{}: patches.directory", named.position);
            Some(Source { named_by, directory: named.directory.clone() })
        })
    }

    fn find(&self, directory: &str) -> Option<&PatchDirectory> {
        self.patches.directories.iter().find(|found| found.path == directory)
    }

    /// Judges the manifest that kubeadm makes with the patches of a directory. `None`: nothing is known of it.
    fn made(&mut self, source: &Source, base: Base<'_>) -> Result<Option<Made>> {
        let Source { named_by, directory } = source;
        let Some(path) = absolute(self.intent, directory) else {
            bail!(
                "{named_by}: {directory:?} depends on the directory in which kubeadm is started, so its patches can't \
                 be checked; write an absolute path"
            );
        };
        let files = match self.find(&path).map(|found| &found.files) {
            Some(Ok(Some(files))) => files,
            Some(Err(why)) => bail!("{named_by}: {why}"),
            Some(Ok(None)) | None => {
                self.warnings.push(format!(
                    "{named_by}: {path} does not exist, so its patches can't be checked; when it is there, run \
                     kube-audit-bootstrap plan again"
                ));
                return Ok(None);
            }
        };
        match self.check(files, base).map_err(|why| anyhow!(why))? {
            None => Ok(None),
            Some(Ok(made)) => Ok(Some(made)),
            Some(Err(why)) => {
                self.warnings.push(format!(
                    "{named_by}: the patches in {path} can't be checked: {why}; when kubeadm has run, see \
                     kube-audit-bootstrap status"
                ));
                Ok(None)
            }
        }
    }

    /// `None`: there are no patches of the API server. `Err`: what is wrong with a patch.
    fn check(&self, files: &[(String, String)], base: Base<'_>) -> Result<Option<Result<Made, String>>, String> {
        let told = |(path, refusal): (String, crate::wiring::Refusal)| format!("{path}:{refusal}");
        let files = file::read(files.iter().map(|(path, text)| (path.as_str(), text.as_str()))).map_err(told)?;
        if files.is_empty() {
            return Ok(None);
        }
        let Judge { wanted, version, .. } = *self;
        let certificates = &self.patches.certificates;
        check(&Patched { base, files: &files, wanted, version, certificates }).map(Some).map_err(told)
    }

    /// Warns of the patches that a later `kubeadm upgrade` would apply. `named`: the directories that a file or the
    /// command line names.
    fn foresee(&mut self, named: &[String], text: &str) {
        for directory in &self.patches.directories {
            let Ok(Some(files)) = &directory.files else { continue };
            let is_named = named.contains(&directory.path);
            if let Err(why) = self.check(files, Base::Configuration { before: text, after: text }) {
                let when = if is_named { "when kubeadm upgrade applies" } else { "if kubeadm upgrade is given" };
                self.warnings.push(format!("{when} the patches in {}: {why}", directory.path));
            }
        }
    }
}
