//! `google_iam`: tokens of a Google Cloud identity.

use crate::decode::{Faults, Fields};
use crate::yaml::Node;

/// `google_iam`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GoogleIamConfig {
    /// A service account's key file; the default credentials where it is empty.
    pub credentials_file: String,
}

impl GoogleIamConfig {
    pub(crate) fn read(node: &Node, faults: &mut Faults) -> GoogleIamConfig {
        let mut fields = Fields::open(node, "googleiam.Config", faults);
        let config = GoogleIamConfig {
            credentials_file: fields
                .string("credentials_file", faults)
                .unwrap_or_default(),
        };
        fields.close(faults);
        config
    }
}
