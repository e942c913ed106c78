//! The address of a socket: whether the box has what it names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// `sizeof(struct sockaddr_storage)`: no address is longer.
pub const LONGEST: usize = 128;

/// What an address names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A socket that is a file.
    File(Vec<u8>),
    /// A port of the network.
    Port(SocketAddr),
}

impl Address {
    /// Reads one as the kernel does; `None`: neither of the two.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (family, rest) = bytes.split_first_chunk::<2>()?;
        match i32::from(u16::from_ne_bytes(*family)) {
            libc::AF_UNIX => {
                let path = rest.split(|b| *b == 0).next().filter(|p| !p.is_empty())?;
                Some(Self::File(path.to_vec()))
            }
            libc::AF_INET => {
                let (port, rest) = rest.split_first_chunk::<2>()?;
                let ip = IpAddr::from(Ipv4Addr::from(*rest.first_chunk::<4>()?));
                Some(Self::Port(SocketAddr::new(ip, u16::from_be_bytes(*port))))
            }
            libc::AF_INET6 => {
                let (port, rest) = rest.split_first_chunk::<2>()?;
                let ip = IpAddr::from(Ipv6Addr::from(*rest.get(4..)?.first_chunk::<16>()?));
                Some(Self::Port(SocketAddr::new(ip, u16::from_be_bytes(*port))))
            }
            _ => None,
        }
    }
}

/// Whether a loopback device has it.
pub fn is_of_a_loopback(address: &SocketAddr) -> bool {
    let ip = match address.ip() {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(IpAddr::V6(six), IpAddr::V4),
        four => four,
    };
    ip.is_loopback() || ip.is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(text: &str) -> Option<Address> {
        Some(Address::Port(text.parse().unwrap()))
    }

    #[test]
    fn address_is_read_as_the_kernel_reads_it() {
        assert_eq!(Address::read(b"\x02\0\x1f\x90\x7f\0\0\x01\0\0\0\0\0\0\0\0"), port("127.0.0.1:8080"));
        let six = [&b"\x0a\0\0\x50\0\0\0\0"[..], &[0; 15], b"\x01\0\0\0\0"].concat();
        assert_eq!(Address::read(&six), port("[::1]:80"));
        assert_eq!(Address::read(b"\x01\0/tmp/s\0rest"), Some(Address::File(b"/tmp/s".to_vec())));
        // Abstract, unnamed, cut off, of another family.
        for other in [
            &b"\x01\0\0name"[..],
            b"\x01\0",
            b"\x02\0\0\x50\x7f",
            b"\x0a\0\0\x50",
            b"\x10\0\0\0",
            b"\x02",
            b"",
        ] {
            assert_eq!(Address::read(other), None, "{other:?}");
        }
    }

    #[test]
    fn loopback_has_its_own_addresses_and_no_others() {
        for (text, own) in [
            ("127.0.0.1:1", true),
            ("127.3.2.1:0", true),
            ("0.0.0.0:80", true),
            ("[::]:80", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("8.8.8.8:53", false),
            ("[2001:db8::1]:53", false),
        ] {
            assert_eq!(is_of_a_loopback(&text.parse().unwrap()), own, "{text}");
        }
    }
}
