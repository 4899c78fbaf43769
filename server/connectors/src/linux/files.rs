//! Files that hold a secret.

use super::command::Command;
use super::name::UserName;
use super::session::{Session, refused};
use crate::{FileCopy, SetOutcome};

/// What the new file is called until it is whole.
const NEW: &str = ".claviger-new";

/// Writes the file beside its place, readable by root alone, and moves it there when it is whole. `dd` reads standard input
/// whatever kind of channel that is.
pub(super) async fn put(
    session: &mut Session<'_>,
    file: &FileCopy<'_>,
    whose: [&UserName<'_>; 2],
) -> Result<(), SetOutcome> {
    let [owner, group] = whose;
    let begin = Command::new("/usr/bin/install -T -m 0600 -o root -g root /dev/null").path(" ", file.path, NEW);
    let write = Command::new("/usr/bin/dd status=none conv=nocreat,fsync").path(" of=", file.path, NEW);
    let steps = [
        begin,
        write.reading_only(file.secret),
        Command::new("/usr/bin/chown").owners(owner, group).path(" ", file.path, NEW),
        Command::new("/usr/bin/chmod").mode(file.mode).path(" ", file.path, NEW),
        Command::new("/usr/bin/mv -fT").path(" ", file.path, NEW).path(" ", file.path, ""),
    ];
    for step in steps {
        let answer = session.run_as_root(&step).await?;
        if answer.status != 0 {
            let no = refused(&step, &answer);
            // What is half done shall not lie about. What was there is untouched.
            session.run_as_root(&Command::new("/usr/bin/rm -f").path(" ", file.path, NEW)).await?;
            return Err(no);
        }
    }
    Ok(())
}
