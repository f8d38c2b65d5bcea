//! Files that the user names on the machine that runs the program, not below `--root`; and policies, by file or profile.

use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::audit::profiles;
use crate::config::misuse::Misuse;
use crate::facts::file::text_of;
use crate::node::opening::{Expected, open_known};
use crate::yaml::tree::MAX_BYTES;

/// The name and the text of a policy: of the profile with this name, or else of this file. A file with the name of a
/// profile is `./NAME`.
///
/// # Errors
///
/// As [`read`].
pub fn policy(path: &Path) -> Result<(String, String)> {
    match path.to_str().and_then(profiles::named) {
        Some(profile) => Ok((profile.to_string(), profile.text.to_owned())),
        None => {
            let name = shown(path);
            let is_word = path.components().count() == 1 && path.extension().is_none() && path.as_os_str() != "-";
            if is_word && !path.exists() {
                let profiles = profiles::names().join(", ");
                let message = format!(
                    "{name}: there is no file and no profile of this name; name an existing file, - for standard input, or one \
                     of {profiles}"
                );
                return Err(Misuse(message).into());
            }
            let text = read(path)?;
            // No message quotes a key.
            if text.contains("PRIVATE KEY-----") {
                bail!("{name}: this is a private key, and no policy; name another file");
            }
            Ok((name, text))
        }
    }
}

/// A path for messages: on one line, and without what a terminal would obey.
pub fn shown(path: &Path) -> String {
    path.display().to_string().chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Reads a file on the machine that runs the program. `-` is standard input.
///
/// # Errors
///
/// The file can't be read (a [`Misuse`]), has more than [`MAX_BYTES`] bytes, or is not text.
pub fn read(path: &Path) -> Result<String> {
    let name = shown(path);
    let mut bytes = Vec::new();
    let limit = MAX_BYTES as u64 + 1;
    if path.as_os_str() == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes).context("standard input")?;
    } else {
        // A FIFO without a writer reads as empty, so that the program does not wait. A shell's <(...) has a writer.
        let file = open_known(path, Expected::Readable, OFlag::O_NONBLOCK)
            .map_err(|error| Misuse(format!("{name}: {error}; name an existing file, or - for standard input")))?;
        fcntl(&file, FcntlArg::F_SETFL(OFlag::empty())).with_context(|| name.clone())?;
        let is_pipe = file.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo());
        file.take(limit).read_to_end(&mut bytes).map_err(|error| Misuse(format!("{name}: {error}")))?;
        if is_pipe && bytes.is_empty() {
            let message =
                format!("{name}: this is a pipe, and nothing came from it; write to it first, or name a file");
            return Err(Misuse(message).into());
        }
    }
    if bytes.len() > MAX_BYTES {
        bail!("{name}: the file has more than {MAX_BYTES} bytes, which is too large; name another file");
    }
    match text_of(&bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => bail!("{name}:{error}"),
    }
}
