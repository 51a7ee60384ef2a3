//! Tables of codes.

use heck::ToShoutySnakeCase as _;
use prost_reflect::{DescriptorPool, EnumDescriptor, EnumValueDescriptor};

use super::annotations::Annotations;
use super::comments::comment;
use super::{Code, CodeFamily, CodeKind, ContractError};

/// All enums that are annotated as a table of codes.
pub fn read_all(pool: &DescriptorPool) -> Result<Vec<CodeFamily>, ContractError> {
    let mut families = Vec::new();
    for table in pool.all_enums().filter(|table| !table.package_name().starts_with("google.")) {
        let kind = match Annotations::new(pool, table.options()).choice("gyre.options.code_family")? {
            0 => continue,
            1 => CodeKind::ClientError,
            2 => CodeKind::ApiError,
            3 => CodeKind::Unsubscribe,
            4 => CodeKind::Disconnect,
            other => {
                let problem = format!("code family {other} is not known");
                return Err(ContractError::inconsistent(table.full_name(), problem));
            }
        };
        families.push(family(pool, &table, kind)?);
    }
    Ok(families)
}

fn family(
    pool: &DescriptorPool,
    table: &EnumDescriptor,
    kind: CodeKind,
) -> Result<CodeFamily, ContractError> {
    let mut codes: Vec<Code> = Vec::new();
    for value in table.values() {
        let Some(code) = code(pool, table, &value)? else { continue };
        if let Some(twin) = codes.iter().find(|other| other.number == code.number) {
            let problem = format!("has the number of {}", twin.name);
            return Err(ContractError::inconsistent(value.full_name(), problem));
        }
        codes.push(code);
    }
    Ok(CodeFamily { kind, doc: comment(&table.parent_file(), table.path(), table.full_name())?, codes })
}

/// One code; `None` for values that no peer sees.
fn code(
    pool: &DescriptorPool,
    table: &EnumDescriptor,
    value: &EnumValueDescriptor,
) -> Result<Option<Code>, ContractError> {
    let annotations = Annotations::new(pool, value.options());
    let Some(code) = annotations.group("gyre.options.code")? else { return Ok(None) };
    if code.flag("internal")? {
        return Ok(None);
    }
    let prefix = format!("{}_", table.name().to_shouty_snake_case());
    let name = value.name().strip_prefix(&prefix).ok_or_else(|| {
        ContractError::inconsistent(value.full_name(), format!("name does not start with {prefix}"))
    })?;
    let status = match code.number("http_status")? {
        0 => 500,
        status => status,
    };
    Ok(Some(Code {
        number: value.number(),
        name: name.to_owned(),
        doc: comment(&table.parent_file(), value.path(), value.full_name())?,
        message: code.text("message")?,
        retried: code.flag("temporary")? || code.flag("reconnect")? || code.flag("resubscribe")?,
        http_status: u16::try_from(status).map_err(|_| {
            ContractError::inconsistent(value.full_name(), format!("{status} is no HTTP status"))
        })?,
    }))
}
