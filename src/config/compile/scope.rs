//! What a secret is compiled against, and the store that it names.

use std::collections::BTreeMap;

use super::context::CompileContext;
use super::hooks::CompiledHooks;
use super::section::Section;
use super::suggest;
use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::limits::Limits;
use crate::config::provider::StoreSpec;
use crate::name::StoreName;

/// The stores of the file; `None` is one whose description is wrong and has been reported.
pub(super) type CompiledStores = BTreeMap<StoreName, Option<StoreSpec>>;

/// The name of a store, and its description; none where that one is wrong.
pub(super) type StoreOfSecret<'s> = (StoreName, Option<&'s StoreSpec>);

/// What a secret is compiled against.
pub(super) struct Scope<'s> {
    pub(super) stores: &'s CompiledStores,
    pub(super) limits: &'s Limits,
    pub(super) hooks: &'s CompiledHooks,
}

/// The store of the secret, unless an entry of `data` or `dataFrom` has another one.
pub(super) fn store<'s>(
    section: &Section<'_>,
    scope: &Scope<'s>,
    context: &mut CompileContext<'_>,
) -> Option<StoreOfSecret<'s>> {
    if section.has("store") {
        return store_called("store", section, scope, context);
    }
    let spec = scope.stores.get(&StoreName::main())?;
    Some((StoreName::main(), spec.as_ref()))
}

/// The store that `key` names.
pub(super) fn store_called<'s>(
    key: &'static str,
    section: &Section<'_>,
    scope: &Scope<'s>,
    context: &mut CompileContext<'_>,
) -> Option<StoreOfSecret<'s>> {
    let text = section.text(key, context)?;
    let name = StoreName::new(&text.value);
    if let Some(spec) = scope.stores.get(&name) {
        return Some((name, spec.as_ref()));
    }
    let unknown = Diagnostic::new(
        Code::UnknownStore,
        section.place_of(key),
        text.is_not("a store of secretStores", ""),
    );
    let hint = match suggest::nearest(&text.value, scope.stores.keys().map(StoreName::as_str)) {
        Some(near) => format!("did you mean {near:?}?"),
        None => "describe it in secretStores".to_owned(),
    };
    context.push(unknown.hint(hint));
    None
}
