//! Judges kubeadm's patches: with them, the API server must audit as the settings say.

use anyhow::{Result, anyhow, bail};

use super::identify::Identity;
use super::{Intent, Occasion, Role};
use crate::audit::version::Version;
use crate::facts::file::{Files, Text};
use crate::facts::{PatchDirectory, PatchFacts};
use crate::wiring::kubeadm::{self, KubeadmFile, NamedPatches, PatchUser, Purpose, Reader};
use crate::wiring::patches::{Base, Made, Patched, beside, check, file};
use crate::wiring::{Beside, Wanted, Wired, patch};

/// The directory that kubeadm's documentation and installers use. A later `kubeadm upgrade` may be given it.
const USUAL: &str = "/etc/kubernetes/patches";

/// A file that `kubeadm init` reads, edited.
#[derive(Debug)]
pub struct EditedFile<'e> {
    pub path: &'e str,
    /// The text before the edit.
    pub before: &'e str,
    pub after: &'e mut Wired,
}

/// The path and the text of each patch.
type Patches = [(String, String)];

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

/// Judges the manifests that kubeadm is about to make, and puts what they say into `files`, which it reads. On a running
/// control plane, warns of the patches with which an upgrade would end auditing.
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
    let version = node.version;
    let mut judge = Judge { intent, patches, wanted: &wanted, version, warnings: Vec::new(), has_looked: false };
    let mut made = None;
    let is_running = node.role == Role::ControlPlane || node.lenient;
    let is_due = !is_running || [Occasion::Init, Occasion::Join].contains(&intent.occasion);
    if is_due {
        for file in files {
            let named = node.kubeadm.iter().find(|(text, _)| text.path == file.path);
            let source = judge.sources(named, &[PatchUser::Init]).into_iter().next();
            let base = Base::Configuration { before: file.before, after: &file.after.text };
            if let Some(found) = source.map(|source| judge.made(&source, base)).transpose()?.flatten() {
                file.after.follow(&found.wired);
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
            let usual = usual(&wanted, node.version)?;
            for source in judge.sources(joins, &[PatchUser::Join]) {
                made = judge.made(&source, Base::Configuration { before: &usual, after: &usual })?.or(made);
            }
        }
        if let Some(Source { named_by, directory }) = judge.given().filter(|_| !judge.has_looked) {
            judge.warnings.push(format!(
                "{named_by}: the patches in {directory} can't be checked, because no kubeadm configuration file is there; \
                 name kubeadm's file with --kubeadm-config"
            ));
        }
    } else {
        // kubeadm upgrade makes the manifest of the cluster's configuration, and that was made of the file for init.
        let usual = usual(&wanted, node.version)?;
        let of_init = files.first().map(|file| file.after.text.as_str());
        let sources = judge.sources(&node.kubeadm, &[PatchUser::UpgradeApply, PatchUser::UpgradeNode]);
        judge.foresee(&sources, cluster.or(of_init).unwrap_or(&usual));
    }
    node.warnings.append(&mut judge.warnings);
    Ok(made)
}

/// What the patches that `kubeadm init` applies give the API server beside a file.
pub fn beside_file(
    intent: &Intent<'_>,
    patches: &PatchFacts,
    wanted: &Wanted,
    version: Option<Version>,
    (text, file): (&Text, &KubeadmFile),
) -> Beside {
    let named = file.patches.iter().find(|named| named.user == PatchUser::Init);
    let directory = intent.kubeadm.patches.as_ref().or(named.map(|named| &named.directory));
    let path = directory.and_then(|directory| absolute(intent, directory));
    let found = patches.directories.iter().find(|found| Some(&found.path) == path.as_ref());
    let Some(Ok(Some(files))) = found.map(|found| &found.files) else { return Beside::default() };
    let texts = files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
    let base = Base::Configuration { before: &text.text, after: &text.text };
    let certificates = &patches.certificates;
    file::read(texts, version).map_or_else(
        |_| Beside::default(),
        |files| beside(&Patched { base, files: &files, wanted, version, certificates }, file.place_of_patches()),
    )
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
    /// A directory that somebody names was looked at.
    has_looked: bool,
}

impl<'j> Judge<'j> {
    /// The directory of the command line.
    fn given(&self) -> Option<Source> {
        let directory = self.intent.kubeadm.patches.clone()?;
        Some(Source { named_by: "--patches".to_owned(), directory })
    }

    /// The directories that count for these commands of kubeadm: that of the command line, or else those of the files.
    fn sources<'f>(
        &self,
        files: impl IntoIterator<Item = &'f (&'f Text, KubeadmFile)>,
        users: &[PatchUser],
    ) -> Vec<Source> {
        if let Some(given) = self.given() {
            return vec![given];
        }
        let named =
            files.into_iter().flat_map(|(text, file)| file.patches.iter().map(|named| (&text.path, named)));
        let named = named.filter(|(_, named)| users.contains(&named.user));
        let source = |(path, named): (&String, &NamedPatches)| Source {
            named_by: format!("{path}:{}: patches.directory", named.position),
            directory: named.directory.clone(),
        };
        named.map(source).collect()
    }

    /// The patches of a directory that somebody names, and its path. `None`: it does not exist, which is a warning.
    ///
    /// # Errors
    ///
    /// It cannot be read, or it is not known where it is.
    fn find(&mut self, source: &Source) -> Result<Option<(String, &'j Patches)>> {
        let Source { named_by, directory } = source;
        self.has_looked = true;
        let Some(path) = absolute(self.intent, directory) else {
            bail!(
                "{named_by}: {directory:?} depends on the directory in which kubeadm is started, so its patches can't \
                 be checked; write an absolute path"
            );
        };
        let found = self.patches.directories.iter().find(|found| found.path == path);
        // For init without a file, the hook gives kubeadm a directory with copies.
        let is_copied = self.intent.is_without_file(Occasion::Init);
        if let Some(target) = found.and_then(|found| found.leads_to.as_ref()).filter(|_| !is_copied) {
            bail!(
                "{named_by}: {path} is a symbolic link, and kubeadm reads no patches through one; write {target}"
            );
        }
        match found.map(|found| &found.files) {
            Some(Ok(Some(files))) => {
                self.warnings.extend(files.iter().filter_map(|(path, text)| file::doubt(path, text)));
                Ok(Some((path, files)))
            }
            Some(Err(why)) => bail!("{named_by}: {why}"),
            Some(Ok(None)) | None => {
                self.warnings.push(format!(
                    "{named_by}: {path} does not exist, so its patches can't be checked, and kubeadm stops without it; \
                     when it is there, run kube-audit-bootstrap plan again"
                ));
                Ok(None)
            }
        }
    }

    /// Judges the manifest that kubeadm makes with the patches of a directory. `None`: nothing is known of it.
    fn made(&mut self, source: &Source, base: Base<'_>) -> Result<Option<Made>> {
        let Some((path, files)) = self.find(source)? else { return Ok(None) };
        match self.check(files, base).map_err(|why| anyhow!(why))? {
            None => Ok(None),
            Some(Ok(made)) => Ok(Some(made)),
            Some(Err(why)) => {
                self.warnings.push(unchecked(&format!("{}: ", source.named_by), &path, &why));
                Ok(None)
            }
        }
    }

    /// `None`: there are no patches of the API server. `Err`: what is wrong with a patch.
    fn check(&self, files: &Patches, base: Base<'_>) -> Result<Option<Result<Made, String>>, String> {
        let told = |(path, refusal): (String, crate::wiring::Refusal)| format!("{path}:{refusal}");
        let texts = files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        let files = file::read(texts, self.version).map_err(told)?;
        if files.is_empty() {
            return Ok(None);
        }
        let Judge { wanted, version, .. } = *self;
        let certificates = &self.patches.certificates;
        check(&Patched { base, files: &files, wanted, version, certificates }).map(Some).map_err(told)
    }

    /// Warns of the patches that a later `kubeadm upgrade` would apply: those in the directories that it is told to use
    /// (`sources`), and those that it may be given.
    fn foresee(&mut self, sources: &[Source], text: &str) {
        let mut known = Vec::new();
        for source in sources {
            known.extend(absolute(self.intent, &source.directory));
            match self.find(source) {
                Ok(Some((path, files))) => {
                    let by = format!("{}: ", source.named_by);
                    self.foresee_one(("when kubeadm upgrade applies", &by, &path), files, text);
                }
                Ok(None) => {}
                Err(why) => self.warnings.push(format!("{why:#}")),
            }
        }
        for PatchDirectory { path, files, .. } in &self.patches.directories {
            match files {
                _ if known.contains(path) => {}
                Ok(Some(files)) => self.foresee_one(("if kubeadm upgrade is given", "", path), files, text),
                Ok(None) => {}
                Err(why) => self.warnings.push(unchecked("", path, why)),
            }
        }
    }

    fn foresee_one(&mut self, (when, named_by, path): (&str, &str, &str), files: &Patches, text: &str) {
        match self.check(files, Base::Configuration { before: text, after: text }) {
            Ok(None | Some(Ok(_))) => {}
            Ok(Some(Err(why))) => self.warnings.push(unchecked(named_by, path, &why)),
            Err(why) => self.warnings.push(format!("{when} the patches in {path}: {why}")),
        }
    }
}

/// The warning of patches that can't be checked. `named_by`: with a colon, if somebody names them.
fn unchecked(named_by: &str, path: &str, why: &str) -> String {
    format!(
        "{named_by}the patches in {path} can't be checked: {why}; when kubeadm has run, see kube-audit-bootstrap status"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::identify::identify;
    use super::super::testing::{config, facts, intent, snapshot};
    use super::super::wire::{Wiring, wire};
    use super::*;
    use crate::facts::Facts;
    use crate::facts::file::{Seen, SeenFile};
    use crate::plan::KubeadmCall;

    const API_SERVER: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver}\nspec:\n  containers:\n  - name: kube-apiserver\n    \
                              command: [kube-apiserver]\n    image: registry.k8s.io/kube-apiserver:v1.31.4\n";
    const CLUSTER: &str = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n";
    const JOIN: &str = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\ncontrolPlane: {}\npatches: {directory: /j}\n";
    /// With this patch, the API server would not audit.
    const BAD: &str = "- {op: remove, path: /spec/volumes}\n";
    const GOOD: &str = "- {op: add, path: /spec/containers/0/command/-, value: --v=2}\n";

    type Found<'f> = Result<Option<&'f str>, &'f str>;

    fn wired(intent: &Intent<'_>, facts: &Facts, directories: &[(&str, Found<'_>)]) -> Result<Wiring> {
        let directory = |(path, found): &(&str, Found<'_>)| PatchDirectory {
            path: (*path).to_owned(),
            leads_to: None,
            files: found
                .map(|text| text.map(|text| vec![(format!("{path}/kube-apiserver+json.yaml"), text.to_owned())]))
                .map_err(str::to_owned),
        };
        let directories = directories.iter().map(directory).collect();
        let patches = PatchFacts { directories, certificates: Vec::new() };
        wire(intent, facts, &patches, identify(intent, facts)?)
    }

    /// A node with a kubeadm configuration file; none, if it is empty.
    fn node(kubeadm: &str, manifest: Option<&str>) -> Facts {
        let file = |text: &str| Text { path: "/k".to_owned(), text: text.to_owned(), snapshot: snapshot(text) };
        let kubeadm = Some(kubeadm).filter(|text| !text.is_empty()).map(file);
        Facts { kubeadm: kubeadm.into_iter().collect(), ..facts(manifest) }
    }

    #[test]
    fn what_an_upgrade_does_with_patches_is_told() {
        let init = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\npatches: {directory: /p}\n";
        let upgrade =
            "apiVersion: kubeadm.k8s.io/v1beta4\nkind: UpgradeConfiguration\nnode: {patches: {directory: p}}\n";
        let absolute = upgrade.replace("directory: p", "directory: /p");
        let invalid = "apiServer: {extraVolumes: [{name: A_, hostPath: /x, mountPath: /x}]}\n";
        for (file, given, cluster, directory, warning) in [
            // kubeadm upgrade does not read these.
            (init, None, "", ("/p", Ok(Some(BAD))), "if kubeadm upgrade is given the patches in /p: "),
            (JOIN, None, "", ("/j", Ok(Some(BAD))), "if kubeadm upgrade is given the patches in /j: "),
            (&absolute, None, "", ("/p", Ok(Some(BAD))), "when kubeadm upgrade applies the patches in /p: "),
            (upgrade, None, "", ("/w/p", Ok(Some(BAD))), "when kubeadm upgrade applies the patches in /w/p: "),
            ("", Some("/p"), "", ("/p", Ok(Some(BAD))), "when kubeadm upgrade applies the patches in /p: "),
            ("", None, "", (USUAL, Ok(Some(BAD))), "if kubeadm upgrade is given the patches in /etc/kubernetes/"),
            ("", None, "", (USUAL, Ok(Some(GOOD))), ""),
            ("", None, "", (USUAL, Ok(None)), ""),
            // What can't be judged.
            ("", None, "", (USUAL, Err("why")), "the patches in /etc/kubernetes/patches can't be checked: why"),
            (
                "",
                None,
                invalid,
                (USUAL, Ok(Some(GOOD))),
                "the patches in /etc/kubernetes/patches can't be checked: ",
            ),
            (
                "",
                Some("/p"),
                "",
                ("/p", Ok(None)),
                "--patches: /p does not exist, so its patches can't be checked",
            ),
            (&absolute, None, "", ("/p", Ok(None)), "/k:3:29: patches.directory: /p does not exist"),
        ] {
            let kubeadm = KubeadmCall { patches: given.map(str::to_owned), directory: Some("/w".to_owned()) };
            let config = config("");
            let intent = Intent { kubeadm: &kubeadm, ..intent(&config) };
            let mut facts = node(file, Some(API_SERVER));
            facts.cluster = Some(Ok(format!("{CLUSTER}{cluster}")));
            let warnings = wired(&intent, &facts, &[directory]).unwrap().warnings;
            let context = format!("{file} {given:?} {cluster} {directory:?}: {warnings:?}");
            assert_eq!(warnings.len(), usize::from(!warning.is_empty()), "{context}");
            assert!(warnings.iter().all(|line| line.starts_with(warning)), "{context}");
        }
    }

    #[test]
    fn a_directory_that_depends_on_where_kubeadm_is_started_is_told() {
        let upgrade =
            "apiVersion: kubeadm.k8s.io/v1beta4\nkind: UpgradeConfiguration\napply: {patches: {directory: p}}\n";
        let warnings = wired(&intent(&config("")), &node(upgrade, Some(API_SERVER)), &[]).unwrap().warnings;
        let words = "\"p\" depends on the directory in which kubeadm is started";
        assert!(warnings.iter().any(|line| line.contains(words)), "{warnings:?}");
    }

    #[test]
    fn a_directory_of_patches_that_is_a_link_is_refused() {
        let init = format!(
            "{CLUSTER}---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\npatches: {{directory: /p}}\n"
        );
        let given = KubeadmCall { patches: Some("/p".to_owned()), directory: None };
        for (file, occasion, leads_to, is_refused) in [
            (init.as_str(), Occasion::Any, Some("/real"), true),
            (init.as_str(), Occasion::Any, None, false),
            // The hook gives kubeadm a directory with copies.
            ("", Occasion::Init, Some("/real"), false),
        ] {
            let config = config("");
            let call = if file.is_empty() { given.clone() } else { KubeadmCall::default() };
            let intent = Intent { kubeadm: &call, occasion, ..intent(&config) };
            let directory = PatchDirectory {
                path: "/p".to_owned(),
                leads_to: leads_to.map(str::to_owned),
                files: Ok(Some(vec![("/p/kube-apiserver+json.yaml".to_owned(), GOOD.to_owned())])),
            };
            let patches = PatchFacts { directories: vec![directory], certificates: Vec::new() };
            let facts = node(file, None);
            let found = wire(&intent, &facts, &patches, identify(&intent, &facts).unwrap());
            let why = found.err().map(|error| format!("{error:#}")).unwrap_or_default();
            assert_eq!(why.contains("/p is a symbolic link") && why.contains("write /real"), is_refused, "{why}");
        }
    }

    #[test]
    fn the_directory_of_the_command_line_is_told_once() {
        let given = KubeadmCall { patches: Some("/p".to_owned()), directory: None };
        for (file, words) in [
            (JOIN, "--patches: /p does not exist, so its patches can't be checked"),
            ("", "--patches: the patches in /p can't be checked, because no kubeadm configuration file is there"),
        ] {
            let config = config("");
            let intent = Intent { kubeadm: &given, ..intent(&config) };
            let warnings = wired(&intent, &node(file, None), &[("/p", Ok(None))]).unwrap().warnings;
            let told = warnings.iter().filter(|line| line.starts_with(words)).count();
            assert_eq!(told, 1, "{file}: {warnings:?}");
        }
    }

    #[test]
    fn what_a_patch_adds_to_the_pod_counts() {
        let init = format!(
            "{CLUSTER}---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\npatches: {{directory: /p}}\n"
        );
        let seen = SeenFile {
            snapshot: snapshot("kind: Config\nclusters: []\n"),
            real: "/w.yaml".to_owned(),
            directories: BTreeMap::new(),
            lists: Vec::new(),
            beside: vec!["w.yaml".to_owned()],
        };
        let files = BTreeMap::from([("/w.yaml".to_owned(), Seen::File(Box::new(seen)))]);
        let mount = "- {op: add, path: /spec/volumes/-, value: {name: more, hostPath: {path: /srv/more}}}\n\
                     - {op: add, path: /spec/containers/0/volumeMounts/-, value: {name: more, mountPath: /more}}\n";
        let config = config("webhook: {configFile: /w.yaml}");
        let facts = Facts { files, ..node(&init, None) };
        let wiring = wired(&intent(&config), &facts, &[("/p", Ok(Some(mount)))]).unwrap();
        let more = ("/more".to_owned(), Some("/srv/more".to_owned()));
        assert!(!wiring.paths.opened.is_empty());
        assert!(wiring.paths.opened.iter().all(|opened| opened.mounts.contains(&more)), "{:?}", wiring.paths);
        // The kubeconfig is readable for the root user alone.
        let user = "- {op: add, path: /spec/containers/0/securityContext, value: {runAsUser: 7}}\n";
        for (file, call, patch, is_refused) in [
            (init.as_str(), None, GOOD, false),
            (init.as_str(), None, user, true),
            (JOIN, Some("/p"), GOOD, false),
            (JOIN, Some("/p"), user, true),
        ] {
            let kubeadm = KubeadmCall { patches: call.map(str::to_owned), directory: None };
            let intent = Intent { kubeadm: &kubeadm, ..intent(&config) };
            let facts = Facts { kubeadm: node(file, None).kubeadm, ..facts.clone() };
            let unmet = wired(&intent, &facts, &[("/p", Ok(Some(patch)))]).unwrap().unmet;
            let is_told = unmet.iter().any(|line| line.contains("the API server runs as the user 7"));
            assert_eq!(is_told, is_refused, "{file} {patch}: {unmet:?}");
        }
    }
}
