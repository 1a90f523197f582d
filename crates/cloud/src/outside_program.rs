//! A program of the user's that tells credentials.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// What it may say.
const MAX_ANSWER: u64 = 1 << 20;

/// Runs a program and returns what it wrote to its standard output. Its other output is not shown: nobody knows what is
/// in it.
pub async fn run(program: &str, arguments: &[&str]) -> Result<Vec<u8>, String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("cannot run {program}: {e}"))?;
    let output = child.stdout.take();
    let all = async {
        let mut said = Vec::new();
        if let Some(output) = output {
            let mut output = output.take(MAX_ANSWER);
            output.read_to_end(&mut said).await?;
        }
        Ok::<_, std::io::Error>((child.wait().await?, said))
    };
    let ended = tokio::time::timeout(PATIENCE, all).await;
    let ended = ended.map_err(|_| format!("{program} took more than {PATIENCE:?}"))?;
    let (status, said) = ended.map_err(|e| format!("{program}: {e}"))?;
    if status.success() {
        Ok(said)
    } else {
        Err(format!("{program}: {status}"))
    }
}
