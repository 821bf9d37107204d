//! Products that intercept TLS, recognized by the names in their certificates.
//!
//! Such a name is no proof, because any issuer can use it. But for an untrusted issuer with such a name,
//! interception is the likely explanation, and "unknown issuer" would be misleading.

/// Parts of issuers' names, in lower case, and their products.
const PRODUCTS: &[(&str, &str)] = &[
    ("zscaler", "Zscaler"),
    ("fortinet", "Fortinet FortiGate"),
    ("fortigate", "Fortinet FortiGate"),
    ("blue coat", "Symantec Blue Coat"),
    ("bluecoat", "Symantec Blue Coat"),
    ("palo alto networks", "Palo Alto Networks"),
    ("cisco umbrella", "Cisco Umbrella"),
    ("netskope", "Netskope"),
    ("mcafee web gateway", "McAfee Web Gateway"),
    ("skyhigh", "Skyhigh Web Gateway"),
    ("forcepoint", "Forcepoint"),
    ("websense", "Forcepoint"),
    ("barracuda", "Barracuda"),
    ("sophos ssl", "Sophos"),
    ("sophos utm", "Sophos"),
    ("check point", "Check Point"),
    ("watchguard", "WatchGuard"),
    ("sonicwall", "SonicWall"),
    ("untangle", "Untangle"),
    ("kaspersky", "Kaspersky"),
    ("eset ssl filter", "ESET"),
    ("avast", "Avast"),
    ("avg technologies", "AVG"),
    ("bitdefender", "Bitdefender"),
    ("dr.web", "Dr.Web"),
    ("netfilter sdk", "a filter made with NetFilter SDK"),
    ("mitmproxy", "mitmproxy"),
    ("charles proxy", "Charles"),
    ("do_not_trust_fiddlerroot", "Fiddler"),
    ("portswigger", "Burp Suite"),
    ("owasp zed attack proxy", "ZAP"),
    ("squid", "Squid"),
];

/// The product that an issuer of this name belongs to.
pub(super) fn product(issuer: &str) -> Option<&'static str> {
    let issuer = issuer.to_lowercase();
    PRODUCTS
        .iter()
        .find(|(part, _)| issuer.contains(part))
        .map(|(_, product)| *product)
}

#[cfg(test)]
mod tests {
    use super::product;

    #[test]
    fn products_are_recognized_by_their_issuers() {
        for (issuer, expected) in [
            (
                "CN=Zscaler Intermediate Root CA (zscaler.net), O=Zscaler Inc.",
                Some("Zscaler"),
            ),
            ("CN=mitmproxy, O=mitmproxy", Some("mitmproxy")),
            ("CN=FortiGate CA, O=Fortinet", Some("Fortinet FortiGate")),
            ("CN=R11, O=Let's Encrypt, C=US", None),
            ("CN=Test Root, O=handfast tests", None),
            ("", None),
        ] {
            assert_eq!(product(issuer), expected, "{issuer}");
        }
    }
}
