//! Clients of remote stores, made from their configuration.

use std::{
    sync::{Arc, Once},
    time::Duration,
};

use object_store::{
    BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig, aws::AmazonS3Builder,
    azure::MicrosoftAzureBuilder, gcp::GoogleCloudStorageBuilder, list::PaginatedListStore,
};
use tokio::sync::OnceCell;

use crate::{
    StoreError,
    config::{Credentials, Secret, SecretSource, StoreConfig},
    unsigned,
    uri::{Scheme, split_remote},
};

/// Longest pause between two tries.
const MAX_PAUSE: Duration = Duration::from_secs(5);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// A request as a whole, however slowly its bytes come: a part of 8 MiB at 30 kB/s.
const REQUEST_LIMIT: Duration = Duration::from_secs(300);
/// No request is tried again after so long: its signature would be too old.
const RETRY_LIMIT: Duration = Duration::from_secs(120);

/// What all handles on a remote store share.
pub(crate) struct Remote {
    /// As the configuration calls it.
    pub name: String,
    /// For messages.
    pub endpoint: String,
    /// `s3://bucket`.
    pub bucket: String,
    /// Whether of many conditional writers exactly one wins; found out at most once.
    pub conditional: OnceCell<bool>,
}

/// The client of a store, whose keys begin at the bucket, and the prefix in the bucket where the store begins.
pub(crate) struct Opened {
    pub client: Client,
    pub prefix: String,
    pub remote: Remote,
}

/// A client as what it can do.
pub(crate) struct Client {
    pub objects: Arc<dyn ObjectStore>,
    pub pages: Arc<dyn PaginatedListStore>,
}

impl Client {
    fn new(client: impl ObjectStore + PaginatedListStore) -> Self {
        let client = Arc::new(client);
        Self {
            objects: client.clone(),
            pages: client,
        }
    }
}

/// Makes a client; nothing is asked of the server yet.
pub(crate) fn open(name: &str, config: &StoreConfig) -> Result<Opened, StoreError> {
    let unusable = |reason: String| StoreError::Misconfigured {
        store: name.to_owned(),
        reason,
    };
    let (scheme, bucket, prefix) = split_remote(&config.url).map_err(unusable)?;
    let secret = |key: &str, source: &Option<SecretSource>| -> Result<Option<Secret>, StoreError> {
        let read = source.as_ref().map(SecretSource::read).transpose();
        read.map_err(|reason| unusable(format!("{key}: {reason}")))
    };
    let access_key = secret("access_key", &config.access_key)?;
    let secret_key = secret("secret_key", &config.secret_key)?;
    let session_token = secret("session_token", &config.session_token)?;
    let service_account = secret("service_account", &config.service_account)?;
    let options = client_options(config).map_err(unusable)?;
    install_crypto();
    let anonymous = config.credentials == Credentials::Anonymous;
    let ambient = config.credentials == Credentials::Ambient;
    let client: Result<Client, object_store::Error> = match scheme {
        Scheme::S3 => {
            let mut builder = match ambient {
                true => AmazonS3Builder::from_env(),
                false => AmazonS3Builder::new(),
            };
            builder = builder
                .with_bucket_name(&bucket)
                .with_region(&config.region)
                .with_virtual_hosted_style_request(config.virtual_hosted)
                .with_skip_signature(anonymous)
                .with_retry(retry(config))
                .with_client_options(options);
            if let Some(endpoint) = &config.endpoint {
                builder = builder.with_endpoint(endpoint);
            }
            if let (Some(id), Some(secret)) = (&access_key, &secret_key) {
                builder = builder
                    .with_access_key_id(id.expose())
                    .with_secret_access_key(secret.expose());
            }
            if let Some(token) = &session_token {
                builder = builder.with_token(token.expose());
            }
            builder.build().map(Client::new)
        }
        Scheme::Az => {
            let mut builder = match ambient {
                true => MicrosoftAzureBuilder::from_env(),
                false => MicrosoftAzureBuilder::new(),
            };
            builder = builder
                .with_container_name(&bucket)
                .with_account(config.account.as_deref().unwrap_or_default())
                .with_skip_signature(anonymous)
                .with_retry(retry(config))
                .with_client_options(options);
            if let Some(endpoint) = &config.endpoint {
                builder = builder.with_endpoint(endpoint.clone());
            }
            if let Some(key) = &access_key {
                builder = builder.with_access_key(key.expose());
            }
            builder.build().map(Client::new)
        }
        Scheme::Gs => {
            let mut builder = match ambient {
                true => GoogleCloudStorageBuilder::from_env(),
                false => GoogleCloudStorageBuilder::new(),
            };
            builder = builder
                .with_bucket_name(&bucket)
                .with_skip_signature(anonymous)
                .with_retry(retry(config))
                .with_client_options(options);
            if let Some(endpoint) = &config.endpoint {
                builder = builder.with_base_url(endpoint);
            }
            if anonymous {
                builder = builder
                    .with_credentials(unsigned::credentials())
                    .with_http_connector(unsigned::Connector::default());
            }
            if let Some(key) = &service_account {
                builder = builder.with_service_account_key(key.expose());
            }
            builder.build().map(Client::new)
        }
        Scheme::File => return Err(unusable("a file store needs no configuration".to_owned())),
    };
    // The builder's own words could quote a key that it cannot read.
    let client = client
        .map_err(|_| unusable("its endpoint or its credentials cannot be read".to_owned()))?;
    Ok(Opened {
        client,
        prefix,
        remote: Remote {
            name: name.to_owned(),
            endpoint: config
                .endpoint
                .clone()
                .unwrap_or_else(|| format!("the {scheme} service")),
            bucket: format!("{scheme}://{bucket}"),
            conditional: OnceCell::new(),
        },
    })
}

fn retry(config: &StoreConfig) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: MAX_PAUSE,
            base: 2.,
        },
        max_retries: config.retries,
        retry_timeout: RETRY_LIMIT,
    }
}

fn client_options(config: &StoreConfig) -> Result<ClientOptions, String> {
    let mut options = ClientOptions::new()
        .with_allow_http(config.allow_http)
        .with_connect_timeout(CONNECT_LIMIT)
        .with_read_timeout(Duration::from_secs(config.timeout_s))
        .with_timeout(REQUEST_LIMIT.max(Duration::from_secs(config.timeout_s)))
        // Connections that a server or a firewall drops silently.
        .with_pool_idle_timeout(Duration::from_secs(20));
    if let Some(path) = &config.ca_certificate {
        let place = path.display();
        let pem =
            std::fs::read(path).map_err(|error| format!("ca_certificate: {place}: {error}"))?;
        let certificates = Certificate::from_pem_bundle(&pem)
            .ok()
            .filter(|certificates| !certificates.is_empty())
            .ok_or_else(|| format!("ca_certificate: {place} holds no PEM certificate"))?;
        for certificate in certificates {
            options = options.with_root_certificate(certificate);
        }
    }
    Ok(options)
}

/// The HTTP client takes the process's provider of cryptography.
fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that the program has chosen one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
