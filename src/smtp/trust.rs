//! Which certificates are trusted.

use super::settings::Settings;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{ring, verify_tls12_signature, verify_tls13_signature, CryptoProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;

/// The TLS configuration of these settings. It reads the trust store.
pub(super) fn client_config(settings: &Settings) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let verifier = verifier(settings, &provider)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn verifier(settings: &Settings, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, String> {
    if !settings.verify {
        return Ok(Arc::new(TrustAll(provider.clone())));
    }
    let Some(cafile) = &settings.cafile else {
        let verifier = rustls_platform_verifier::Verifier::new(provider.clone()).map_err(|error| {
            format!(
                "The trusted certificates of this system cannot be read: {error}. Install them (Debian: the package \
                     ca-certificates), or name a file of certificates in cafile (SMTP_CAFILE)."
            )
        })?;
        return Ok(Arc::new(verifier));
    };
    let unusable = |reason: String| {
        format!(
            "cafile (SMTP_CAFILE) cannot be used: {cafile}: {reason}. It has to name a file of certificates in PEM, or a \
             folder of them."
        )
    };
    let roots = roots(Path::new(cafile)).map_err(unusable)?;
    // Without a certificate this fails.
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| unusable(error.to_string()))?;
    Ok(verifier)
}

/// The certificates of a file, or of the files in a folder.
fn roots(place: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    if place.is_dir() {
        // It also has links, notes and what else its owner put there.
        let files = std::fs::read_dir(place).map_err(|error| error.to_string())?.flatten();
        let of_files = files.filter_map(|file| CertificateDer::pem_file_iter(file.path()).ok());
        roots.add_parsable_certificates(of_files.flat_map(|of_file| of_file.map_while(Result::ok)));
    } else {
        for certificate in CertificateDer::pem_file_iter(place).map_err(|error| error.to_string())? {
            let added = certificate.map_err(|error| error.to_string())?;
            roots.add(added).map_err(|error| error.to_string())?;
        }
    }
    Ok(roots)
}

/// Accepts every certificate: `verify` is false.
#[derive(Debug)]
struct TrustAll(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAll {
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
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
