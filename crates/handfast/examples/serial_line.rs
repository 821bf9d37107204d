//! TLS over a serial line. A pair of pseudo-terminals stands in for the cable.
//!
//!     cargo run --example serial_line -- chain.pem key.pem CA.pem

#[cfg(not(unix))]
fn main() {
    eprintln!("pseudo-terminals are a thing of Unix");
}

#[cfg(unix)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use std::io::{Read, Write};
    use std::time::Duration;

    use handfast::{
        ClientContext, ClosePolicy, Device, Identity, Passphrase, ServerContext, TrustAnchors,
    };

    let args: Vec<String> = std::env::args().skip(1).collect();
    let [chain, key, ca] = &args[..] else {
        return Err("usage: serial_line CHAIN.pem KEY.pem CA.pem".into());
    };
    let identity = Identity::from_pem_files(chain, key, Passphrase::none())?;
    let server = ServerContext::builder().identity(identity).build()?;
    let trust = TrustAnchors::empty().with_file(ca)?;
    let client = ClientContext::builder().trust(trust).build()?;

    let (near, far) = cable()?;
    let server = std::thread::spawn(move || -> Result<String, handfast::Error> {
        let mut stream = server.accept(Device::new(far))?;
        // A line has no end of its own: only close_notify says that the client has finished.
        let (bytes, ending) = stream.read_to_ending()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let reply = format!("{} bytes, ended by {ending}", bytes.len());
        stream.write_all(reply.as_bytes()).ok();
        let outcome = stream.close(ClosePolicy::Wait(Duration::from_secs(2)));
        Ok(format!("server read {text:?}; closed: {outcome}"))
    });

    let mut stream = client.secure("localhost", Device::new(near))?;
    stream.write_all(b"temperature 21.5\n")?;
    stream.finish()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    println!("client read {reply:?}");
    println!("{}", server.join().map_err(|_| "the server panicked")??);
    Ok(())
}

/// Both ends of a line that changes no byte on its way.
#[cfg(unix)]
fn cable() -> std::io::Result<(std::fs::File, std::fs::File)> {
    use rustix::fs::{Mode, OFlags};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

    let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    grantpt(&near)?;
    unlockpt(&near)?;
    let name = ptsname(&near, Vec::new())?;
    let far = rustix::fs::open(
        name.as_c_str(),
        OFlags::RDWR | OFlags::NOCTTY,
        Mode::empty(),
    )?;
    // Raw mode: no echo, no line editing, no translation of ends of lines.
    let mut mode = tcgetattr(&far)?;
    mode.make_raw();
    tcsetattr(&far, OptionalActions::Now, &mode)?;
    Ok((near.into(), far.into()))
}
