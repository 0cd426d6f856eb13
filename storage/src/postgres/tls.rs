//! Encryption of connections, if the url or the server asks for it (cargo feature `tls`).

use std::path::Path;

#[cfg(feature = "tls")]
use self::with::{Connector, connector};
#[cfg(not(feature = "tls"))]
use self::without::{Connector, connector};

/// Connector that encrypts a plain connection, or leaves it plain.
#[derive(Clone)]
pub(super) struct Tls(pub(super) Connector);

impl Tls {
    /// Creates the connector, with the certificates that servers are verified against.
    ///
    /// # Errors
    /// If the certificates cannot be used.
    pub(super) fn new(ca_file: Option<&Path>) -> Result<Self, String> {
        connector(ca_file).map(Self)
    }
}

#[cfg(not(feature = "tls"))]
mod without {
    use super::Path;

    pub(super) type Connector = tokio_postgres::NoTls;

    /// Returns a connector that leaves connections plain. Fails if certificates are given, since this build cannot
    /// verify them.
    pub(super) fn connector(ca_file: Option<&Path>) -> Result<Connector, String> {
        match ca_file {
            None => Ok(tokio_postgres::NoTls),
            Some(_) => Err("this build has no TLS; build with `--features tls`".to_owned()),
        }
    }
}

#[cfg(feature = "tls")]
mod with {
    use std::sync::Arc;

    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

    use super::Path;

    pub(super) type Connector = tokio_postgres_rustls::MakeRustlsConnect;

    /// Returns a connector that verifies servers against the certificates in a PEM file and the host in the url, as
    /// libpq's `verify-full`; without a file it only encrypts, as libpq's `require`. Fails if the file has no
    /// certificate.
    pub(super) fn connector(ca_file: Option<&Path>) -> Result<Connector, String> {
        let provider = Arc::new(ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match ca_file {
            Some(path) => {
                let roots = Arc::new(roots_of(path)?);
                let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider));
                verifier.build().map_err(|error| error.to_string())?
            }
            None => Arc::new(AnyCertificate(Arc::clone(&provider))),
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider was made for these versions")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Connector::new(config))
    }

    fn roots_of(path: &Path) -> Result<RootCertStore, String> {
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            let certificate = certificate.map_err(|error| error.to_string())?;
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        if roots.is_empty() {
            return Err("it has no certificate".to_owned());
        }
        Ok(roots)
    }

    /// Verifier that accepts any certificate, if the server has its key. Hosted PostgreSQL mostly has self-signed
    /// certificates.
    #[derive(Debug)]
    struct AnyCertificate(Arc<CryptoProvider>);

    impl ServerCertVerifier for AnyCertificate {
        fn verify_server_cert(
            &self,
            _end_entity: &CertificateDer<'_>,
            _intermediates: &[CertificateDer<'_>],
            _server_name: &ServerName<'_>,
            _ocsp_response: &[u8],
            _now: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &self.0.signature_verification_algorithms;
            verify_tls12_signature(message, certificate, signature, algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &self.0.signature_verification_algorithms;
            verify_tls13_signature(message, certificate, signature, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_that_cannot_be_had_are_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = Tls::new(Some(file.path())).err().unwrap();
        assert!(
            text.contains(if cfg!(feature = "tls") { "no certificate" } else { "--features tls" }),
            "{text}"
        );
        assert!(Tls::new(None).is_ok());
    }
}
