//! Frames of the frontend, byte by byte (`protocol-message-formats.html`),
//! built here and not with the library under test.

/// One message as it stands on the wire after startup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The type byte.
    pub tag: u8,
    /// All after the length.
    pub body: Vec<u8>,
}

impl Frame {
    /// The whole message again.
    pub fn to_bytes(&self) -> Vec<u8> {
        frame(self.tag, &self.body)
    }

    /// One field of an ErrorResponse or NoticeResponse.
    pub fn field(&self, kind: u8) -> Option<String> {
        self.fields()
            .into_iter()
            .find(|(k, _)| *k == kind)
            .map(|(_, text)| text)
    }

    /// All fields of an ErrorResponse or NoticeResponse.
    pub fn fields(&self) -> Vec<(u8, String)> {
        self.body
            .split(|b| *b == 0)
            .filter_map(|field| field.split_first())
            .map(|(kind, text)| (*kind, String::from_utf8_lossy(text).into_owned()))
            .collect()
    }

    /// The SQLSTATE of an ErrorResponse.
    pub fn sqlstate(&self) -> String {
        assert_eq!(
            self.tag, b'E',
            "an ErrorResponse was expected, not {self:?}"
        );
        self.field(b'C').unwrap_or_default()
    }

    /// The columns of a DataRow.
    pub fn columns(&self) -> Vec<Option<Vec<u8>>> {
        assert_eq!(self.tag, b'D', "a DataRow was expected, not {self:?}");
        let mut rest = &self.body[2..];
        let mut columns = Vec::new();
        while !rest.is_empty() {
            let length = i32::from_be_bytes(rest[..4].try_into().unwrap());
            rest = &rest[4..];
            match usize::try_from(length) {
                Ok(length) => {
                    columns.push(Some(rest[..length].to_vec()));
                    rest = &rest[length..];
                }
                Err(_) => columns.push(None),
            }
        }
        columns
    }
}

/// Takes the first whole frame out of `inbox`, if there is one.
pub fn take_frame(inbox: &mut Vec<u8>) -> Option<Frame> {
    let header: [u8; 4] = inbox.get(1..5)?.try_into().unwrap();
    let length = u32::from_be_bytes(header) as usize;
    assert!(
        length >= 4,
        "a frame of type {:?} with length {length}",
        inbox[0] as char
    );
    if inbox.len() < length + 1 {
        return None;
    }
    let rest = inbox.split_off(length + 1);
    let whole = std::mem::replace(inbox, rest);
    Some(Frame {
        tag: whole[0],
        body: whole[5..].to_vec(),
    })
}

/// A frame of any type.
pub fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    bytes.extend(body);
    bytes
}

fn text(string: &str) -> Vec<u8> {
    [string.as_bytes(), b"\0"].concat()
}

/// Query.
pub fn query(sql: &str) -> Vec<u8> {
    frame(b'Q', &text(sql))
}

/// Parse, without parameter types.
pub fn parse(name: &str, sql: &str) -> Vec<u8> {
    parse_typed(name, sql, &[])
}

/// Parse, with parameter types.
pub fn parse_typed(name: &str, sql: &str, types: &[u32]) -> Vec<u8> {
    let mut body = [text(name), text(sql)].concat();
    body.extend(u16::try_from(types.len()).unwrap().to_be_bytes());
    body.extend(types.iter().flat_map(|oid| oid.to_be_bytes()));
    frame(b'P', &body)
}

/// Bind with parameters in text format; results in text format too.
pub fn bind(portal: &str, statement: &str, parameters: &[Option<&[u8]>]) -> Vec<u8> {
    let mut body = [text(portal), text(statement)].concat();
    body.extend(0_u16.to_be_bytes());
    body.extend(u16::try_from(parameters.len()).unwrap().to_be_bytes());
    for parameter in parameters {
        match parameter {
            Some(bytes) => {
                body.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
                body.extend(*bytes);
            }
            None => body.extend((-1_i32).to_be_bytes()),
        }
    }
    body.extend(0_u16.to_be_bytes());
    frame(b'B', &body)
}

/// Describe: `kind` is `S` for a statement, `P` for a portal.
pub fn describe(kind: u8, name: &str) -> Vec<u8> {
    frame(b'D', &[vec![kind], text(name)].concat())
}

/// Execute; `rows` 0 means all.
pub fn execute(portal: &str, rows: u32) -> Vec<u8> {
    frame(b'E', &[text(portal), rows.to_be_bytes().to_vec()].concat())
}

/// Close: `kind` is `S` for a statement, `P` for a portal.
pub fn close(kind: u8, name: &str) -> Vec<u8> {
    frame(b'C', &[vec![kind], text(name)].concat())
}

/// Sync.
pub fn sync() -> Vec<u8> {
    frame(b'S', b"")
}

/// Flush.
pub fn flush() -> Vec<u8> {
    frame(b'H', b"")
}

/// CopyData.
pub fn copy_data(data: &[u8]) -> Vec<u8> {
    frame(b'd', data)
}

/// CopyDone.
pub fn copy_done() -> Vec<u8> {
    frame(b'c', b"")
}

/// CopyFail.
pub fn copy_fail(reason: &str) -> Vec<u8> {
    frame(b'f', &text(reason))
}

/// FunctionCall with text arguments and a text result.
pub fn function_call(function: u32, arguments: &[&[u8]]) -> Vec<u8> {
    let mut body = function.to_be_bytes().to_vec();
    body.extend(0_u16.to_be_bytes());
    body.extend(u16::try_from(arguments.len()).unwrap().to_be_bytes());
    for argument in arguments {
        body.extend(u32::try_from(argument.len()).unwrap().to_be_bytes());
        body.extend(*argument);
    }
    body.extend(0_u16.to_be_bytes());
    frame(b'F', &body)
}

/// Terminate.
pub fn terminate() -> Vec<u8> {
    frame(b'X', b"")
}

/// Parse, Bind, Describe and Execute of the unnamed statement; no Sync.
pub fn unnamed(sql: &str) -> Vec<u8> {
    [
        parse("", sql),
        bind("", "", &[]),
        describe(b'P', ""),
        execute("", 0),
    ]
    .concat()
}

/// The same with its Sync.
pub fn extended(sql: &str) -> Vec<u8> {
    [unnamed(sql), sync()].concat()
}

/// A message without type byte: startup, SSLRequest, GSSENCRequest, CancelRequest.
pub fn untyped(code: u32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(rest.len() + 8)
        .unwrap()
        .to_be_bytes()
        .to_vec();
    bytes.extend(code.to_be_bytes());
    bytes.extend(rest);
    bytes
}

/// SSLRequest.
pub fn ssl_request() -> Vec<u8> {
    untyped(80_877_103, b"")
}

/// GSSENCRequest.
pub fn gssenc_request() -> Vec<u8> {
    untyped(80_877_104, b"")
}

/// CancelRequest; `key` is the body of a BackendKeyData.
pub fn cancel_request(key: &[u8]) -> Vec<u8> {
    untyped(80_877_102, key)
}
