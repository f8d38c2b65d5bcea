//! Writes man pages and shell completions from the definition of the command line. Only a build with the feature `docs`
//! has this.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;

/// Writes `man/NAME.1` for the program and each verb, and `completions/SHELL/FILE` with the names that the shells look
/// for.
pub fn main(command: Command, folder: &Path) -> ExitCode {
    match write(command, folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

fn write(command: Command, folder: &Path) -> io::Result<()> {
    // The footer of a man page has the version, but no commit. So a page does not change with each commit.
    let mut command = command.version(env!("CARGO_PKG_VERSION"));
    let man = folder.join("man");
    fs::create_dir_all(&man)?;
    clap_mangen::generate_to(command.clone(), man)?;
    let name = command.get_name().to_owned();
    for (shell, directory) in [(Shell::Bash, "bash"), (Shell::Zsh, "zsh"), (Shell::Fish, "fish")] {
        let directory = folder.join("completions").join(directory);
        fs::create_dir_all(&directory)?;
        let file = clap_complete::generate_to(shell, &mut command, &name, &directory)?;
        if shell == Shell::Bash {
            // In one of two places, clap_complete 4.6 reads the dashes of the program's name as those between verbs.
            let (wrong, right) = (name.replace('-', "__subcmd__"), name.replace('-', "__"));
            fs::write(directory.join(&name), fs::read_to_string(&file)?.replace(&wrong, &right))?;
            fs::remove_file(file)?;
        }
    }
    Ok(())
}
