//! Tokens of the machine's, pod's or function's own account.

use crate::token_request::{TokenAnswer, TokenRequest, TokenServers};
use crate::world::World;

/// Asks for a token.
pub async fn ask(
    servers: &TokenServers,
    world: &World,
    scope: &str,
) -> Result<TokenAnswer, String> {
    let host = world.variable("GCE_METADATA_HOST");
    let host = host.unwrap_or_else(|| "169.254.169.254".into());
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("scopes", scope)
        .finish();
    let url =
        format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token?{query}");
    servers
        .ask(TokenRequest::get(&url).header("Metadata-Flavor", "Google"))
        .await
}
