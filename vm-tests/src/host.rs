//! This machine in place of a node: the scripts of a case run here, with the Docker and the kind that are installed.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fs_err::{self as fs, File};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::node::{self, Node};
use crate::run;

/// The script that does here what `scripts/run` does in a node.
const RUN: &str = r#"
. "$LIB/lib.sh"
# When the harness asks all scripts to end, this one waits until the case has cleaned up.
trap : TERM
tell 'BOOT 1'
if runs_whole "$CASE/boot-1.sh"; then
    tell 'RESULT pass'
else
    [ -e "$WORK/failed" ] || tell_end "$CONSOLE"
    tell 'RESULT fail'
fi
"#;

/// How long the scripts may take to clean up.
const CLEAN_UP: Duration = Duration::from_secs(120);

/// The programs that the scripts call.
const PROGRAMS: [&str; 4] = ["docker", "kind", "kubectl", "jq"];

/// This machine, as far as a case may use it: a folder, and the programs on the path.
#[derive(Debug)]
pub struct Host {
    top: PathBuf,
}

impl Host {
    /// Uses this machine, with files in a new folder `top`.
    ///
    /// # Errors
    ///
    /// A program is missing.
    pub fn new(top: &Path) -> Result<Self> {
        for program in PROGRAMS {
            let found = run::output(Command::new("sh").args(["-c", "command -v \"$0\"", program]));
            ensure!(
                found.is_ok(),
                "{program} is not installed here: install what the case needs, {}",
                PROGRAMS.join(", ")
            );
        }
        for dir in ["work", "logs"] {
            fs::create_dir_all(top.join(dir))?;
        }
        Ok(Self { top: top.to_owned() })
    }
}

impl Node for Host {
    fn top(&self) -> &Path {
        &self.top
    }

    fn boot(&self) -> Result<Box<dyn node::Running>> {
        File::create(self.result())?;
        let console = File::create(self.console())?.into_file();
        let path = std::env::var("PATH").unwrap_or_default();
        let child = Command::new("bash")
            .args(["-c", RUN])
            .env("PATH", format!("{}:{path}", self.path("/usr/local/bin").display()))
            .env("LIB", self.path("/usr/local/lib/case"))
            .env("CASE", self.path("/case"))
            .env("RESULT", self.result())
            .env("CONSOLE", self.console())
            .env("WORK", self.top.join("work"))
            .env("LOGS", self.top.join("logs"))
            .stdin(Stdio::null())
            .stdout(console.try_clone()?)
            .stderr(console)
            .process_group(0)
            .spawn()
            .context("can't run bash")?;
        Ok(Box::new(Scripts { child }))
    }

    fn keep_logs(&self, to: &Path) -> Result<()> {
        run::copy(&self.top.join("logs"), to)
    }

    fn give_shell(&self) -> Result<()> {
        bail!("the case has no node of its own: use a shell of this machine")
    }
}

/// The scripts of a case. When this is dropped, they are asked to end, and get the time to clean up.
#[derive(Debug)]
struct Scripts {
    child: Child,
}

impl node::Running for Scripts {
    fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }
}

impl Drop for Scripts {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let group = Pid::from_raw(-self.child.id().cast_signed());
            let _ = kill(group, Signal::SIGTERM);
            if run::retry(CLEAN_UP, || self.child.try_wait()?.context("the scripts run")).is_err() {
                let _ = kill(group, Signal::SIGKILL);
                let _ = self.child.wait();
                eprintln!("the scripts didn't clean up within {} s: see `kind get clusters`", CLEAN_UP.as_secs());
            }
        }
    }
}
