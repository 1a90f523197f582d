//! The protobuf wire format: fields out of foreign bytes, fields into our own.

/// A body that is not protobuf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Broken(pub &'static str);

/// The value of one field.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// An integer of variable length.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// Bytes, text, a message, or packed numbers.
    Bytes(&'a [u8]),
    /// Four bytes.
    Fixed32(u32),
}

impl<'a> Value<'a> {
    /// An integer; 0 of a field that has none.
    pub fn u64(self) -> u64 {
        match self {
            Value::Varint(n) | Value::Fixed64(n) => n,
            Value::Fixed32(n) => u64::from(n),
            Value::Bytes(_) => 0,
        }
    }

    /// A `sint` in its zigzag form.
    pub fn zigzag(self) -> i64 {
        unzigzag(self.u64())
    }

    /// A double; 0 of a field that is none.
    pub fn f64(self) -> f64 {
        match self {
            Value::Fixed64(bits) => f64::from_bits(bits),
            _ => 0.0,
        }
    }

    /// Bytes; none of a field that has none.
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Value::Bytes(bytes) => bytes,
            _ => &[],
        }
    }
}

/// The number behind a `sint`'s zigzag form.
pub fn unzigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

/// A `sint`'s zigzag form of a number.
pub fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

/// Takes a variable-length integer of at most `bytes_max` bytes.
pub fn varint(rest: &mut &[u8], bytes_max: usize) -> Result<u64, Broken> {
    let mut value = 0u64;
    for (i, byte) in rest.iter().enumerate().take(bytes_max) {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            *rest = &rest[i + 1..];
            return Ok(value);
        }
    }
    Err(if rest.len() < bytes_max {
        Broken("unexpected EOF")
    } else {
        Broken("integer overflow")
    })
}

/// Takes a length and as many bytes.
pub fn delimited<'a>(rest: &mut &'a [u8], length_bytes_max: usize) -> Result<&'a [u8], Broken> {
    let length = varint(rest, length_bytes_max)?;
    let length = usize::try_from(length).map_err(|_| Broken("unexpected EOF"))?;
    let bytes = rest.get(..length).ok_or(Broken("unexpected EOF"))?;
    *rest = &rest[length..];
    Ok(bytes)
}

/// Calls `visit` with the number and value of every field of a message.
pub fn fields<'a>(
    mut rest: &'a [u8],
    mut visit: impl FnMut(u64, Value<'a>) -> Result<(), Broken>,
) -> Result<(), Broken> {
    while !rest.is_empty() {
        let tag = varint(&mut rest, 10)?;
        let value = match tag & 7 {
            0 => Value::Varint(varint(&mut rest, 10)?),
            1 => {
                let (bytes, tail) = rest
                    .split_first_chunk::<8>()
                    .ok_or(Broken("unexpected EOF"))?;
                rest = tail;
                Value::Fixed64(u64::from_le_bytes(*bytes))
            }
            2 => Value::Bytes(delimited(&mut rest, 10)?),
            5 => {
                let (bytes, tail) = rest
                    .split_first_chunk::<4>()
                    .ok_or(Broken("unexpected EOF"))?;
                rest = tail;
                Value::Fixed32(u32::from_le_bytes(*bytes))
            }
            _ => return Err(Broken("illegal wire type")),
        };
        if tag >> 3 == 0 {
            return Err(Broken("illegal tag 0"));
        }
        visit(tag >> 3, value)?;
    }
    Ok(())
}

/// Calls `visit` with each integer of a repeated field, packed or not.
pub fn integers(value: Value<'_>, mut visit: impl FnMut(u64)) -> Result<(), Broken> {
    match value {
        Value::Bytes(mut packed) => {
            while !packed.is_empty() {
                visit(varint(&mut packed, 10)?);
            }
        }
        single => visit(single.u64()),
    }
    Ok(())
}

/// Calls `visit` with each double of a repeated field, packed or not.
pub fn doubles(value: Value<'_>, mut visit: impl FnMut(f64)) -> Result<(), Broken> {
    match value {
        Value::Bytes(packed) => {
            let (chunks, rest) = packed.as_chunks::<8>();
            if !rest.is_empty() {
                return Err(Broken("unexpected EOF"));
            }
            chunks
                .iter()
                .for_each(|bytes| visit(f64::from_le_bytes(*bytes)));
        }
        single => visit(single.f64()),
    }
    Ok(())
}

/// Appends a variable-length integer.
pub fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Appends an integer field.
pub fn put_uint(out: &mut Vec<u8>, field: u64, n: u64) {
    put_varint(out, field << 3);
    put_varint(out, n);
}

/// Appends a double field.
pub fn put_double(out: &mut Vec<u8>, field: u64, value: f64) {
    put_varint(out, field << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a field of bytes, text or a message.
pub fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(out, field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
