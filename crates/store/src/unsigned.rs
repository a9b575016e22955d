//! Requests without any signature, for `gs://` stores: the client of that cloud leaves it out when it reads, but asks the
//! machine's metadata server for a token before each write.

use std::{future::Future, pin::Pin, sync::Arc};

use object_store::{
    ClientOptions, CredentialProvider, Result, StaticCredentialProvider,
    client::{
        HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService,
        ReqwestConnector,
    },
    gcp::GcpCredential,
};

/// A token of no letters, which [`Connector`] takes away again.
pub(crate) fn credentials() -> Arc<dyn CredentialProvider<Credential = GcpCredential>> {
    Arc::new(StaticCredentialProvider::new(GcpCredential {
        bearer: String::new(),
    }))
}

#[derive(Debug, Default)]
pub(crate) struct Connector(ReqwestConnector);

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        self.0.connect(options).map(Unsigned).map(HttpClient::new)
    }
}

#[derive(Debug)]
struct Unsigned(HttpClient);

impl HttpService for Unsigned {
    fn call<'a, 'b>(
        &'a self,
        mut request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = std::result::Result<HttpResponse, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        request.headers_mut().remove("authorization");
        Box::pin(self.0.execute(request))
    }
}
