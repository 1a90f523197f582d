//! Reading the kernel's files: small, many, and read anew at every scrape.
//!
//! `/proc` files are read whole; `/sys` files with one short read, because some drivers answer a second read with
//! `EAGAIN` for ever. Nothing here trusts sizes the kernel reports.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::collector::CollectError;

/// The most bytes of one `/proc` file that are read; real ones (`interrupts`, `mountstats`) stay far below.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Values in `/sys` are cut after this many bytes.
const SYS_VALUE_BYTES: usize = 128;

/// Where the kernel's trees are mounted for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// `--path.procfs`
    pub procfs: PathBuf,
    /// `--path.sysfs`
    pub sysfs: PathBuf,
    /// `--path.rootfs`
    pub rootfs: PathBuf,
    /// `--path.udev.data`
    pub udev_data: PathBuf,
}

impl Default for Paths {
    fn default() -> Paths {
        Paths {
            procfs: "/proc".into(),
            sysfs: "/sys".into(),
            rootfs: "/".into(),
            udev_data: "/run/udev/data".into(),
        }
    }
}

impl Paths {
    /// A file below procfs.
    pub fn proc(&self, file: impl AsRef<Path>) -> PathBuf {
        self.procfs.join(file)
    }

    /// A file below sysfs.
    pub fn sys(&self, file: impl AsRef<Path>) -> PathBuf {
        self.sysfs.join(file)
    }

    /// A file below the host's root.
    pub fn root(&self, file: impl AsRef<Path>) -> PathBuf {
        self.rootfs.join(file)
    }
}

/// A file that could not be read or did not hold what it should.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct ReadError {
    /// The file.
    pub path: PathBuf,
    /// What went wrong.
    pub source: io::Error,
}

impl ReadError {
    fn new(path: &Path, source: io::Error) -> ReadError {
        ReadError {
            path: path.to_path_buf(),
            source,
        }
    }

    /// The content is not a number, or not the expected form.
    pub fn malformed(path: &Path, what: impl Into<String>) -> ReadError {
        ReadError::new(
            path,
            io::Error::new(io::ErrorKind::InvalidData, what.into()),
        )
    }

    /// There is no such file.
    pub fn is_absent(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    /// We may not read it.
    pub fn is_denied(&self) -> bool {
        self.source.kind() == io::ErrorKind::PermissionDenied
    }

    /// The kernel's error number.
    pub fn errno(&self) -> i32 {
        self.source.raw_os_error().unwrap_or(0)
    }

    /// Absent, forbidden or not supported by the device: what a sysfs attribute may be without that being an error.
    pub fn is_unavailable(&self) -> bool {
        self.is_absent()
            || self.is_denied()
            || matches!(
                self.errno(),
                libc::EINVAL | libc::EOPNOTSUPP | libc::ENODATA | libc::ENXIO
            )
    }
}

impl From<ReadError> for CollectError {
    fn from(error: ReadError) -> CollectError {
        CollectError::Failed(error.to_string())
    }
}

/// A whole file as text; bytes that are not UTF-8 are replaced.
pub fn read(path: &Path) -> Result<String, ReadError> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(4096);
        File::open(path)?
            .take(FILE_BYTES_MAX)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| ReadError::new(path, error))?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

/// A `/sys` value: one short read, without the blanks around it.
pub fn read_sys(path: &Path) -> Result<String, ReadError> {
    let mut buffer = [0u8; SYS_VALUE_BYTES];
    let length = File::open(path)
        .and_then(|mut file| file.read(&mut buffer))
        .map_err(|error| ReadError::new(path, error))?;
    Ok(String::from_utf8_lossy(&buffer[..length])
        .trim()
        .to_string())
}

/// A file with one decimal number.
pub fn read_u64(path: &Path) -> Result<u64, ReadError> {
    let text = read_sys(path)?;
    text.parse()
        .map_err(|_| ReadError::malformed(path, format!("{text:?} is not a number")))
}

/// As [`read_u64`], negative numbers allowed.
pub fn read_i64(path: &Path) -> Result<i64, ReadError> {
    let text = read_sys(path)?;
    text.parse()
        .map_err(|_| ReadError::malformed(path, format!("{text:?} is not a number")))
}

/// The names in a directory, sorted.
pub fn list(path: &Path) -> Result<Vec<String>, ReadError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(|error| ReadError::new(path, error))? {
        let entry = entry.map_err(|error| ReadError::new(path, error))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

/// As [`list`]; nothing when the directory is absent or closed to us.
pub fn list_or_empty(path: &Path) -> Vec<String> {
    list(path).unwrap_or_default()
}

/// What a symbolic link leads to, the last part only.
pub fn link_name(path: &Path) -> Option<String> {
    let target = fs::read_link(path).ok()?;
    Some(target.file_name()?.to_string_lossy().into_owned())
}

/// A signed number in decimal, `0x` hexadecimal or `0` octal notation, as the kernel prints attributes.
pub fn parse_any_int(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let value = if let Some(hex) = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
    {
        i64::from_str_radix(hex, 16).ok()?
    } else if digits.len() > 1 && digits.starts_with('0') {
        i64::from_str_radix(&digits[1..], 8).ok()?
    } else {
        digits.parse().ok()?
    };
    Some(if negative { -value } else { value })
}

/// Numbers of a list such as `0-3,8`.
pub fn parse_ranges(text: &str) -> Option<Vec<u32>> {
    /// No machine has more processors; a damaged file must not make us count for ever.
    const LISTED_MAX: usize = 1 << 16;
    let mut numbers = Vec::new();
    for piece in text.trim().split(',').filter(|piece| !piece.is_empty()) {
        let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
        let (first, last) = (
            first.trim().parse::<u32>().ok()?,
            last.trim().parse::<u32>().ok()?,
        );
        if last < first || (last - first) as usize > LISTED_MAX || numbers.len() > LISTED_MAX {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_the_kernels_notations() {
        for (text, value) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("0x1f", Some(31)),
            ("010", Some(8)),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(parse_any_int(text), value, "{text}");
        }
        assert_eq!(parse_ranges("0-2,8\n"), Some(vec![0, 1, 2, 8]));
        assert_eq!(parse_ranges(""), Some(vec![]));
        assert_eq!(parse_ranges("3-1"), None);
        assert_eq!(parse_ranges("0-4000000000"), None);
    }

    #[test]
    fn absent_files_say_which() {
        let error = read(Path::new("/does/not/exist")).unwrap_err();
        assert!(error.is_absent() && error.to_string().contains("/does/not/exist"));
    }
}
