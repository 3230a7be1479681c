//! The sink's side of TLS.

use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

use super::options::TlsOptions;

/// Why the sink cannot speak TLS.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file is missing, or is not PEM.
    #[error("cannot read {0}: {1}")]
    File(String, pem::Error),
    /// Certificate and key do not fit together.
    #[error("cannot use the certificate: {0}")]
    Certificate(#[from] rustls::Error),
}

/// Reads a certificate and its key.
///
/// # Errors
/// When a file cannot be read, or the key does not belong to the certificate.
pub(super) fn acceptor(options: &TlsOptions) -> Result<TlsAcceptor, TlsError> {
    let certificates = CertificateDer::pem_file_iter(&options.certfile)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| TlsError::File(options.certfile.display().to_string(), error))?;
    let key = PrivateKeyDer::from_pem_file(&options.keyfile)
        .map_err(|error| TlsError::File(options.keyfile.display().to_string(), error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
