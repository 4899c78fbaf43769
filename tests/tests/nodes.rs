//! Three servers on one PostgreSQL: what one is told, all know; what one does, no other undoes; and whichever fails, nothing
//! that was acknowledged is lost.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on says so")]

#[path = "nodes/histories.rs"]
mod histories;
#[path = "nodes/lock.rs"]
mod lock;
#[path = "nodes/moved.rs"]
mod moved;
#[path = "nodes/reach.rs"]
mod reach;

use std::time::Duration;

use claviger_tests::database::Database;
use claviger_tests::inventory::add_customer;
use claviger_tests::line::Line;
use claviger_tests::people::{People, unseal};
use claviger_tests::server::{Launch, Server};

/// Longer than any rotation, restart or join on a loaded machine.
const SOON: Duration = Duration::from_mins(1);
/// Within so long a revocation, a lock or a change of rights is known everywhere.
const EVERYWHERE: Duration = Duration::from_secs(1);

/// Three servers on one database, the last over a line that can be cut.
struct Cluster {
    nodes: [Server; 3],
    line: Line,
    people: People,
    database: Database,
}

impl Cluster {
    async fn start() -> Self {
        let database = Database::start().await;
        let line = Line::to(database.postgres().address()).await;
        let launch = Launch::default();
        let first = Server::on(&database, None, &launch).await;
        let people = People::found(first.address()).await;
        let second = Server::on(&database, None, &launch).await;
        let third = Server::on(&database, Some(line.address().port()), &launch).await;
        for node in [&second, &third] {
            unseal(node.address(), &people.share).await;
        }
        add_customer(&people.administrator.client(first.address()), "acme").await;
        Self { nodes: [first, second, third], line, people, database }
    }

    /// Each node's address.
    fn addresses(&self) -> [String; 3] {
        self.nodes.each_ref().map(|node| node.address().to_owned())
    }
}
