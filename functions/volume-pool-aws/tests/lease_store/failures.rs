//! What is missing is said in words that tell a person what to do.

use volume_pool::ports::{LeaseStore, PortError};
use volume_pool::record::List;
use volume_pool::transition::{Expect, Write};
use volume_pool_aws::LeaseTable;

use crate::fixture::{
    Table, client_of_a_closed_port, commit_all, instance, invocation, open, read_one, transaction,
};

#[tokio::test]
async fn a_missing_table_is_denied_by_name() {
    let table = Table::start().await;
    let elsewhere = LeaseTable::new(table.client(), "no-such-table");
    let put = transaction(vec![Write::Put(open(0), Expect::Mark)]);
    for error in [
        elsewhere.read(&[open(0).key()]).await.unwrap_err(),
        elsewhere.list(&List::Open, 1).await.unwrap_err(),
        elsewhere.commit(&put).await.unwrap_err(),
        elsewhere.poke(&instance(0), &invocation(1)).await.unwrap_err(),
        elsewhere.take_poke(&instance(0), &invocation(1)).await.unwrap_err(),
    ] {
        assert!(matches!(error, PortError::Denied { .. }), "{error}");
        assert!(error.to_string().contains("no table \"no-such-table\""), "{error}");
    }
}

#[tokio::test]
async fn missing_credentials_are_denied_with_what_is_missing() {
    let table = Table::start().await;
    for client in [table.client_without_credentials(), table.client_with_an_empty_profile()] {
        let error = LeaseTable::new(client, table.name()).read(&[open(0).key()]).await.unwrap_err();
        assert!(matches!(error, PortError::Denied { .. }), "{error}");
        assert!(error.to_string().contains("no usable credentials"), "{error}");
    }
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_transient() {
    let leases = LeaseTable::new(client_of_a_closed_port().await, "leases");
    let error = leases.read(&[open(0).key()]).await.unwrap_err();
    assert!(matches!(error, PortError::Transient { call: "dynamodb:GetItem", .. }), "{error}");
}

#[tokio::test]
async fn creating_the_table_again_keeps_what_it_holds() {
    let table = Table::start().await;
    let leases = table.leases();
    commit_all(&leases, [open(0)]).await;
    volume_pool_aws::table::create(&table.client(), table.name()).await.unwrap();
    assert_eq!(read_one(&leases, &open(0)).await, open(0));
}
