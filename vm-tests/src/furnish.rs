//! Makes the nodes of a case, and gives them what the case has for them: user-data, scripts, and the program under
//! test. Nothing is booted here.

use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result};
use fs_err as fs;

use crate::case::{Case, USER_DATA, VENDOR_DATA, name_of};
use crate::components;
use crate::host::Host;
use crate::namespaces::{Container, Switch};
use crate::node::{LOGS, NETWORK, Node, SEED};
use crate::qemu::{self, Disk, Machine};
use crate::setting::{On, Setting};
use crate::{image, run};

const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// The folder of what runs the scripts of a case in its node. It becomes `/usr/local/lib/case` there.
const SCRIPTS: &str = "scripts";

/// The limits of kubeadm where it takes them: an emulated API server may need minutes to start, and restarts if that
/// takes it too long.
const TIMEOUTS: &str = "timeouts: {kubernetesAPICall: 10m, etcdAPICall: 5m, tlsBootstrap: 10m, \
                        kubeletHealthCheck: 10m, controlPlaneComponentHealthCheck: 10m}";

/// The settings of a control plane that is emulated and alone. With an election, the other components end each time
/// that their API server is away for ten seconds, and their restarts take the time that it needs for its own.
const NO_ELECTION: &str = "controllerManager: {extraArgs: [{name: leader-elect, value: 'false'}]}
    scheduler: {extraArgs: [{name: leader-elect, value: 'false'}]}";
/// The setting of each emulated cluster: every probe of every component costs a signature.
const SHORT_KEYS: &str = "encryptionAlgorithm: ECDSA-P256";

/// Makes the nodes of a case in the folder `top`, with all that the case gives them. `versions` are as
/// [`Case::versions`] has them.
///
/// # Errors
///
/// A node can't be made, or the case needs a package and the setting has none.
pub fn make_nodes(case: &Case, top: &Path, versions: &[String], setting: &Setting) -> Result<Vec<Box<dyn Node>>> {
    let mut nodes = Vec::new();
    match setting.on {
        On::Namespaces => {
            let base = image::make_base(&setting.components, versions)?;
            let switch = Rc::new(Switch::start()?);
            for (index, name) in case.nodes.iter().enumerate() {
                let node = Container::new(&base, &top.join(name), name, &address(index), Rc::clone(&switch))?;
                nodes.push(Box::new(node) as Box<dyn Node>);
            }
        }
        On::Host => {
            for name in &case.nodes {
                nodes.push(Box::new(Host::new(&top.join(name))?));
            }
        }
        On::Qemu => {
            let disk = match &setting.image {
                Some(image) => Disk::Given(image.clone()),
                None => qemu::make_disk(&setting.components, versions)?,
            };
            let needs_docker = case.description.docker;
            let docker =
                needs_docker.then(|| qemu::make_docker_disk(&setting.components, &versions[0])).transpose()?;
            let parts = qemu::Parts {
                disk: &disk,
                second: docker.as_deref(),
                blank: case.description.disk,
                network: qemu::Network::new()?,
                accelerator: setting.accelerator,
                init: case.description.bare.then_some("/usr/local/lib/case/init"),
                unsafe_power: case.description.cuts > 0,
            };
            for (index, name) in case.nodes.iter().enumerate() {
                nodes.push(Box::new(Machine::new(&parts, &top.join(name), index)?));
            }
        }
    }
    for (index, (name, node)) in case.nodes.iter().zip(&nodes).enumerate() {
        if case.description.baked {
            let package = setting.package.as_ref().context("this case needs --package")?;
            let debian = match setting.on {
                On::Qemu => image::make_debian_of_machines()?,
                On::Namespaces | On::Host => image::make_debian()?,
            };
            let layers = [image::make_layer(&setting.components, versions)?, debian];
            image::bake(&layers, &node.path("/"), package)?;
        }
        Furnishing { case, node: node.as_ref(), name, address: &address(index), versions, setting }.put()?;
    }
    Ok(nodes)
}

/// A node that gets what its case has for it.
struct Furnishing<'a> {
    case: &'a Case,
    node: &'a dyn Node,
    name: &'a str,
    address: &'a str,
    /// The version of the first boot, then the others.
    versions: &'a [String],
    setting: &'a Setting,
}

impl Furnishing<'_> {
    fn put(&self) -> Result<()> {
        self.put_case_files()?;
        self.put_scripts()?;
        self.put_programs()?;
        if self.setting.image.is_some() { self.put_units() } else { self.put_network() }
    }

    /// Puts the files of the node's folder, with the variables of the form `@NAME@` filled in.
    fn put_case_files(&self) -> Result<()> {
        let newest = self.versions.last().map_or("", String::as_str);
        let api = components::api_version(&self.versions[0])
            .context("kubeadm reads no version of its API that the harness knows: see api_versions")?;
        let has_lists = components::has_lists(api);
        let is_spared = has_lists && self.setting.is_emulated();
        // Indented as the content of a file of user-data.
        let init = include_str!("kubeadm.yaml").trim_end().replace('\n', "\n    ");
        let fill = |text: &str| {
            text.replace("@INIT@", &init)
                .replace("@VERSION@", &self.versions[0])
                .replace("@NEXT@", newest)
                .replace("@ADDRESS@", self.address)
                .replace("@KUBEADM_API@", api)
                .replace("@TIMEOUTS@", if has_lists { TIMEOUTS } else { "# the usual timeouts" })
                .replace("@ELECTION@", if is_spared { NO_ELECTION } else { "# the usual election" })
                .replace("@KEYS@", if is_spared { SHORT_KEYS } else { "# the usual keys" })
        };
        let from = self.case.dir.join(self.name);
        for entry in fs::read_dir(&from)? {
            let path = entry?.path();
            // An editor keeps hidden files beside those that are open.
            if name_of(&path).starts_with('.') {
                continue;
            }
            let text = fill(&fs::read_to_string(&path)?);
            let to = if [USER_DATA, VENDOR_DATA].iter().any(|name| path.ends_with(name)) { SEED } else { "/case" };
            self.write(&format!("{to}/{}", name_of(&path)), &text)?;
        }
        if !from.join(USER_DATA).exists() {
            self.write(&format!("{SEED}/{USER_DATA}"), &fill(include_str!("user-data.yaml")))?;
        }
        let meta_data = format!("instance-id: {}-{}\nlocal-hostname: {}\n", self.case.name, self.name, self.name);
        self.write(&format!("{SEED}/meta-data"), &meta_data)
    }

    /// Puts what runs the scripts of the case, and what these must know of the harness.
    fn put_scripts(&self) -> Result<()> {
        let scripts = self.node.path("/usr/local/lib/case");
        fs::create_dir_all(&scripts)?;
        run::copy(&Path::new(HERE).join(SCRIPTS), &scripts)?;
        self.write("/case/patience", &self.setting.patience().to_string())?;
        if self.setting.is_emulated() {
            self.write("/case/emulated", "")?;
        }
        self.write("/case/logs", &LOGS.map(|path| path.trim_start_matches('/')).join("\n"))?;
        self.write("/case/cuts", &self.case.count_cuts(self.setting.cuts).to_string())
    }

    /// Puts the program under test with its units, and kind. In a baked image the program is there already.
    fn put_programs(&self) -> Result<()> {
        let bin = self.node.path("/usr/local/bin");
        fs::create_dir_all(&bin)?;
        if !self.case.description.baked {
            // Not enabled, as whoever installs them finds them.
            let units = self.node.path("/usr/local/lib/systemd/system");
            fs::create_dir_all(&units)?;
            run::copy(&Path::new(HERE).join("../image/systemd"), &units)?;
            fs::copy(&self.setting.program, bin.join("kube-audit-bootstrap"))?;
        }
        if self.case.description.docker && self.setting.on == On::Qemu {
            fs::copy(self.setting.components.provide_kind()?, bin.join("kind"))?;
        }
        Ok(())
    }

    /// Puts the units of the harness into somebody's image. That image has a name and a network of its own.
    fn put_units(&self) -> Result<()> {
        fs::create_dir_all(self.node.path("/etc/systemd/system"))?;
        let files = Path::new(HERE).join("rootfs");
        for enabled in image::own_units() {
            fs::copy(files.join(enabled.unit.trim_start_matches('/')), self.node.path(enabled.unit))?;
        }
        self.write(&format!("{SEED}/{VENDOR_DATA}"), include_str!("vendor-data.yaml"))
    }

    /// Puts the node's name and address into our own image.
    fn put_network(&self) -> Result<()> {
        let (name, address) = (self.name, self.address);
        self.write("/etc/hostname", &format!("{name}\n"))?;
        self.write("/etc/hosts", &format!("127.0.0.1 localhost\n{address} {name}\n"))?;
        // Nobody listens there, so a look-up fails at once.
        self.write("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")?;
        let network = format!("[Match]\nName=eth0\n\n[Network]\nAddress={address}/24\nGateway={NETWORK}.1\n");
        self.write("/etc/systemd/network/05-eth0.network", &network)
    }

    fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.node.path(path);
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        Ok(fs::write(&path, text)?)
    }
}

/// The address of a case's node.
fn address(index: usize) -> String {
    format!("{NETWORK}.{}", 11 + index)
}
