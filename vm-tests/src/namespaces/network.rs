//! The network of nodes in namespaces: a bridge in a network namespace of its own, with a cable to each node. No route
//! leads out of it.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;

use super::spec::{Spec, own_program};
use crate::node::NETWORK;
use crate::run;

/// The bridge of a case. It has the address .1, which the nodes take for their gateway.
#[derive(Debug)]
pub struct Switch(Child);

impl Switch {
    /// Makes the bridge. It is gone when this is dropped.
    ///
    /// # Errors
    ///
    /// This machine doesn't let us make it.
    pub fn start() -> Result<Self> {
        let mut child = Command::new(own_program())
            .arg("switch")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("can't start a switch")?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let switch = Self(child);
        ensure!(line.trim() == "up", "the network of the nodes can't be made: see the message above");
        Ok(switch)
    }

    /// The ID of the process whose network namespace has the bridge.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Does what `vm-tests switch` does, which is the process of a [`Switch`]: makes the bridge, reports that, and waits to
/// be killed.
///
/// # Errors
///
/// This machine doesn't let us make the bridge.
pub fn serve() -> Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    unshare(CloneFlags::CLONE_NEWNET).context("can't make a network namespace")?;
    ip(&["link", "set", "lo", "up"])?;
    ip(&["link", "add", "br0", "type", "bridge"])?;
    ip(&["address", "add", &format!("{NETWORK}.1/24"), "dev", "br0"])?;
    ip(&["link", "set", "br0", "up"])?;
    println!("up");
    loop {
        nix::unistd::pause();
    }
}

/// Moves this process into a network namespace with `eth0`, a cable to the switch.
///
/// # Errors
///
/// The namespace or the cable can't be made.
pub fn join(spec: &Spec) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("can't make a network namespace")?;
    let switch = spec.switch.to_string();
    let port = format!("to-{}", spec.address.rsplit('.').next().unwrap_or_default());
    let namespace = format!("--net=/proc/{switch}/ns/net");
    let in_switch = |arguments: &[&str]| {
        run::output(Command::new("nsenter").args([&namespace, "ip", "link"]).args(arguments)).map(drop)
    };
    ip(&["link", "set", "lo", "up"])?;
    // The kernel may not have removed the cable of the previous boot yet.
    let _ = in_switch(&["delete", &port]);
    ip(&["link", "add", "eth0", "type", "veth", "peer", "name", &port, "netns", &switch])?;
    in_switch(&["set", &port, "master", "br0", "up"])
}

fn ip(arguments: &[&str]) -> Result<()> {
    run::output(Command::new("ip").args(arguments)).map(drop)
}
