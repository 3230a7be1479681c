//! A file with the event id and the recipient of each accepted mail, on disk before the client learns of it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;

/// The lines of one mail, and who waits until they are on disk.
struct Entry {
    lines: Vec<u8>,
    done: oneshot::Sender<bool>,
}

/// Hands entries to the thread that writes them; the thread ends with the last clone of this.
#[derive(Clone)]
pub(super) struct Ledger(mpsc::Sender<Entry>);

impl Ledger {
    /// Opens a file, or creates it, to append to.
    ///
    /// # Errors
    /// When the file cannot be opened, or the system has no thread left.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        if !ends_with_newline(&mut file)? {
            // A sink that was killed in the middle of a line has acknowledged nothing of it.
            file.write_all(b"\n")?;
        }
        let (entries, inbox) = mpsc::channel();
        thread::Builder::new().name("kafka-email-ledger".into()).spawn(move || write(&mut file, &inbox))?;
        Ok(Self(entries))
    }

    /// Appends a mail's lines, `<event id> <recipient>` each; false when they are not on disk for sure.
    pub(super) async fn append(&self, event_id: &str, recipients: &[String]) -> bool {
        let lines = recipients.iter().flat_map(|recipient| [event_id, " ", recipient, "\n"]).collect::<String>();
        let (done, is_done) = oneshot::channel();
        self.0.send(Entry { lines: lines.into_bytes(), done }).is_ok() && is_done.await.unwrap_or(false)
    }
}

/// Syncs once for all entries that have gathered during the sync before.
fn write(file: &mut File, inbox: &mpsc::Receiver<Entry>) {
    while let Ok(first) = inbox.recv() {
        let entries: Vec<Entry> = [first].into_iter().chain(inbox.try_iter()).collect();
        let lines = entries.iter().map(|entry| entry.lines.as_slice()).collect::<Vec<_>>().concat();
        let is_on_disk = file.write_all(&lines).and_then(|()| file.sync_data()).is_ok();
        for entry in entries {
            // Whoever is gone need not know.
            let _ = entry.done.send(is_on_disk);
        }
    }
}

fn ends_with_newline(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}
