//! A file of lines. What is written is flushed to the disk before it counts as received.

use std::fs::{File, OpenOptions};
use std::future::pending;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use claviger_service::audit::stream::{Message, Sink, Way};
use tokio::task::spawn_blocking;

/// A new file is for its owner and its group: whoever ships it on.
const MODE: u32 = 0o640;

/// A file at this path, opened anew for each batch: one that was moved away begins again.
pub struct FileSink(pub PathBuf);

struct OpenFile(Arc<File>);

#[async_trait]
impl Sink for FileSink {
    async fn open(&self) -> io::Result<Box<dyn Way>> {
        let path = self.0.clone();
        let file = spawn_blocking(move || open(&path)).await??;
        Ok(Box::new(OpenFile(Arc::new(file))))
    }
}

#[async_trait]
impl Way for OpenFile {
    async fn send(&mut self, messages: &[Message]) -> io::Result<()> {
        let lines: String = messages.iter().flat_map(|message| [message.line.as_str(), "\n"]).collect();
        let file = self.0.clone();
        spawn_blocking(move || (&*file).write_all(lines.as_bytes())).await?
    }

    async fn broken(&mut self) -> io::Error {
        pending().await
    }

    async fn end(self: Box<Self>) -> io::Result<()> {
        let file = self.0;
        spawn_blocking(move || file.sync_all()).await?
    }
}

/// Opens it at its end. Half a line that a crash left there is ended, so that the next one is whole: what it should have been
/// is written again.
fn open(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(MODE).open(path)?;
    let length = file.seek(SeekFrom::End(0))?;
    if length == 0 {
        // A new name is durable with its folder.
        File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()?;
        return Ok(file);
    }
    let mut last = [0];
    file.seek(SeekFrom::Start(length - 1))?;
    file.read_exact(&mut last)?;
    if last != [b'\n'] {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use claviger_api::Timestamp;
    use claviger_api::audit::kind::EventKind;
    use claviger_service::audit::stream::Weight;

    use super::*;

    fn message(line: &str) -> Message {
        let (time, kind) = (Timestamp::UNIX_EPOCH, EventKind::VaultSealed);
        Message { time, kind, weight: Weight::Routine, line: line.to_owned() }
    }

    async fn write(sink: &FileSink, line: &str) {
        let mut way = sink.open().await.unwrap();
        way.send(&[message(line)]).await.unwrap();
        way.end().await.unwrap();
    }

    #[tokio::test]
    async fn lines_are_added_and_half_a_line_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let sink = FileSink(folder.path().join("audit.jsonl"));
        write(&sink, "one").await;
        write(&sink, "two").await;
        OpenOptions::new().append(true).open(&sink.0).unwrap().write_all(b"thr").unwrap();
        write(&sink, "three").await;
        assert_eq!(std::fs::read_to_string(&sink.0).unwrap(), "one\ntwo\nthr\nthree\n");
        std::fs::rename(&sink.0, folder.path().join("audit.1")).unwrap();
        write(&sink, "four").await;
        assert_eq!(std::fs::read_to_string(&sink.0).unwrap(), "four\n");
    }
}
