//! A tree of one environment, in flat arrays.

/// The root's number where a tree begins anew.
const FIRST: u32 = 0;
/// No node.
const NONE: u32 = u32::MAX;

/// Whether an episode goes on at a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// It does.
    #[default]
    Running,
    /// It is over: nothing follows.
    Terminated,
    /// It was cut: what follows is worth what the network says, and is not looked into.
    Truncated,
}

/// A state that a tree has come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Node {
    /// The node before; none at the root.
    parent: u32,
    /// The action that led here.
    pub action: u32,
    /// The next outcome of the same action.
    sibling: u32,
    /// Who is to move.
    pub agent: u32,
    /// Simulations that came through.
    pub visits: u32,
    /// The sum of what they found, for whoever is to move here.
    sum: f64,
    /// What the action that led here gave to whoever took it.
    pub reward: f32,
    /// What the network says, for whoever is to move here.
    pub value: f32,
    /// Whether the episode goes on.
    pub outcome: Outcome,
    /// Whether the network has been asked, or need not be.
    is_judged: bool,
    /// What the node is worth for whoever is to move here, where all that follows has been looked at.
    pub proven: Option<Proof>,
}

/// What perfect play makes of a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proof {
    /// The value for whoever is to move.
    pub value: f32,
    /// Moves to the end, as far as that is known: who wins hurries, who loses does not.
    pub plies: u32,
}

impl Proof {
    /// Whether it is better to come to this than to another one.
    fn is_better_than(&self, other: &Self) -> bool {
        let hurry = if self.value > 0.0 { self.plies < other.plies } else { self.plies > other.plies };
        self.value > other.value || self.value == other.value && hurry
    }
}

/// What a step of a copy gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stepped {
    pub(super) agent: usize,
    pub(super) reward: f32,
    pub(super) outcome: Outcome,
}

/// The nodes of a search in one environment. Numbers of nodes are those of the copies that are in their states.
#[derive(Clone, Debug)]
pub struct Tree {
    actions: usize,
    nodes: Vec<Node>,
    /// `[nodes, A]`: the network's logits, −∞ where an action is not allowed.
    logits: Vec<f32>,
    /// `[nodes, A]`: the first outcome of each action.
    children: Vec<u32>,
    /// Numbers that no node has; the next one to be given is the last.
    free: Vec<u32>,
    root: u32,
    /// The least and greatest value of an action that was seen.
    range: [f32; 2],
}

impl Node {
    fn new(parent: u32, action: u32, agent: u32) -> Self {
        Self {
            parent,
            action,
            sibling: NONE,
            agent,
            visits: 0,
            sum: 0.0,
            reward: 0.0,
            value: 0.0,
            outcome: Outcome::Running,
            is_judged: false,
            proven: None,
        }
    }
}

impl Tree {
    /// With room for so many nodes, of which there is none yet.
    pub(super) fn new(actions: usize, capacity: usize) -> Self {
        Self {
            actions,
            nodes: vec![Node::new(NONE, 0, 0); capacity],
            logits: vec![0.0; capacity * actions],
            children: vec![NONE; capacity * actions],
            free: Vec::with_capacity(capacity),
            root: FIRST,
            range: [f32::INFINITY, f32::NEG_INFINITY],
        }
    }

    /// Begins anew with a root at which `agent` is to move; gives its number.
    pub(super) fn clear(&mut self, agent: usize) -> u32 {
        self.free.clear();
        self.free.extend((FIRST + 1..self.nodes.len() as u32).rev());
        self.root = FIRST;
        self.range = [f32::INFINITY, f32::NEG_INFINITY];
        self.put(FIRST, Node::new(NONE, 0, agent as u32));
        FIRST
    }

    fn put(&mut self, number: u32, node: Node) {
        self.nodes[number as usize] = node;
        let row = self.row(number);
        self.children[row].fill(NONE);
    }

    fn row(&self, node: u32) -> std::ops::Range<usize> {
        node as usize * self.actions..(node as usize + 1) * self.actions
    }

    /// Number of actions, `A`.
    pub fn actions(&self) -> usize {
        self.actions
    }

    /// The root.
    pub fn root(&self) -> u32 {
        self.root
    }

    /// A node.
    ///
    /// # Panics
    /// If there is no such one.
    pub fn node(&self, node: u32) -> &Node {
        &self.nodes[node as usize]
    }

    /// The network's logits at a node, −∞ where an action is not allowed.
    pub fn logits(&self, node: u32) -> &[f32] {
        &self.logits[self.row(node)]
    }

    /// The mean of what simulations found from a node on, for whoever is to move there, or what is proven.
    pub fn mean(&self, node: u32) -> f32 {
        let Node { visits, sum, proven, .. } = self.node(node);
        let mean = if *visits > 0 { (sum / f64::from(*visits)) as f32 } else { 0.0 };
        proven.map_or(mean, |proof| proof.value)
    }

    /// The least and the greatest value of an action that was seen.
    pub(super) fn range(&self) -> [f32; 2] {
        self.range
    }

    /// Simulations since the tree began, those that were kept included.
    pub(super) fn simulations(&self) -> usize {
        self.node(self.root).visits.saturating_sub(1) as usize
    }

    /// The outcomes of an action that were tried.
    pub fn outcomes(&self, node: u32, action: usize) -> impl Iterator<Item = u32> {
        let first = self.children[node as usize * self.actions + action];
        std::iter::successors((first != NONE).then_some(first), |&child| {
            let sibling = self.nodes[child as usize].sibling;
            (sibling != NONE).then_some(sibling)
        })
    }

    /// The outcome of an action, if exactly one was tried and the episode goes on after it.
    pub(super) fn only_outcome(&self, node: u32, action: usize) -> Option<u32> {
        let mut outcomes = self.outcomes(node, action);
        let first = outcomes.next().filter(|_| outcomes.next().is_none())?;
        (self.node(first).outcome == Outcome::Running).then_some(first)
    }

    /// Simulations that took an action, and the mean of what they found for whoever took it; none if there were none.
    ///
    /// `q = Σ_k N_k (r_k ± γ V_k) / Σ_k N_k` over the outcomes `k`, the sign by whether the turn passed.
    #[inline]
    pub fn action_value(&self, node: u32, action: usize, discount: f32) -> Option<(u32, f32)> {
        let (mut visits, mut sum) = (0, 0.0);
        for child in self.outcomes(node, action) {
            let own = &self.nodes[child as usize];
            visits += own.visits;
            sum += own.visits as f32 * self.value_before(child, self.mean(child), discount);
        }
        (visits > 0).then(|| (visits, sum / visits as f32))
    }

    /// A value at a node as it is before the action that led there, for whoever took it.
    #[inline]
    fn value_before(&self, node: u32, value: f32, discount: f32) -> f32 {
        let Node { parent, agent, reward, .. } = self.nodes[node as usize];
        let passed = parent != NONE && self.nodes[parent as usize].agent != agent;
        reward + discount * if passed { -value } else { value }
    }

    /// Whether a simulation goes on from a node: the episode does, and what it comes to is not known.
    pub(super) fn is_open(&self, node: u32) -> bool {
        let Node { outcome, proven, .. } = self.node(node);
        *outcome == Outcome::Running && proven.is_none()
    }

    /// Proves an end, and what is above it as far as that follows: a node from which an action wins, or all of whose actions are
    /// proven. For games of two sides without chance, whose values end at 1 (Winands et al. 2008, MCTS-Solver).
    pub(super) fn prove(&mut self, end: u32, discount: f32) {
        self.nodes[end as usize].proven = Some(Proof { value: 0.0, plies: 0 });
        let mut node = self.node(end).parent;
        while node != NONE {
            let (mut best, mut all) = (None::<Proof>, true);
            for action in (0..self.actions).filter(|&action| self.logits(node)[action].is_finite()) {
                match self.proven_after(node, action, discount) {
                    Some(proof) if best.is_none_or(|best| proof.is_better_than(&best)) => best = Some(proof),
                    Some(_) => {}
                    None => all = false,
                }
            }
            if !all && best.is_none_or(|best| best.value < 1.0) {
                return;
            }
            self.nodes[node as usize].proven = best;
            node = self.node(node).parent;
        }
    }

    /// What an action is proven to come to for whoever takes it.
    pub(super) fn proven_after(&self, node: u32, action: usize, discount: f32) -> Option<Proof> {
        let child = self.outcomes(node, action).next()?;
        let Proof { value, plies } = self.node(child).proven?;
        Some(Proof { value: self.value_before(child, value, discount), plies: plies + 1 })
    }

    /// Adds a node for an outcome of an action; none if there is no room.
    pub(super) fn add(&mut self, parent: u32, action: usize) -> Option<u32> {
        let number = self.free.pop()?;
        let agent = self.node(parent).agent;
        let first = &mut self.children[parent as usize * self.actions + action];
        let sibling = std::mem::replace(first, number);
        self.put(number, Node { sibling, ..Node::new(parent, action as u32, agent) });
        Some(number)
    }

    /// The outcome of an action that a simulation goes on from: the one with fewest visits if so many were tried as may be; none
    /// if another one is to be tried.
    pub(super) fn outcome_to_follow(&self, node: u32, action: usize, most: usize) -> Option<u32> {
        let (mut count, mut least) = (0, None::<u32>);
        for child in self.outcomes(node, action) {
            count += 1;
            if least.is_none_or(|least| self.node(child).visits <= self.node(least).visits) {
                least = Some(child);
            }
        }
        least.filter(|_| count >= most.max(1))
    }

    /// Takes over what the step to a node gave. An end is worth nothing from there on.
    pub(super) fn settle(&mut self, node: u32, stepped: &Stepped) {
        let node = &mut self.nodes[node as usize];
        node.agent = stepped.agent as u32;
        node.reward = stepped.reward;
        node.outcome = stepped.outcome;
        node.value = 0.0;
        node.is_judged = stepped.outcome == Outcome::Terminated;
    }

    /// Whether the network has been asked about a node.
    pub(super) fn is_judged(&self, node: u32) -> bool {
        self.node(node).is_judged
    }

    /// Takes over what the network says of a node. A root that is judged counts as visited.
    pub(super) fn judge(&mut self, node: u32, logits: &[f32], mask: Option<&[bool]>, value: f32) {
        let row = self.row(node);
        let own = &mut self.logits[row];
        own.copy_from_slice(logits);
        if let Some(mask) = mask {
            for (logit, &allowed) in own.iter_mut().zip(mask) {
                *logit = if allowed { *logit } else { f32::NEG_INFINITY };
            }
        }
        let is_root = node == self.root;
        let node = &mut self.nodes[node as usize];
        node.value = value;
        node.is_judged = true;
        if is_root {
            node.visits = 1;
            node.sum = f64::from(value);
        }
    }

    /// Tells a node and all above it of a value, which is that of whoever is to move at the node.
    pub(super) fn back_up(&mut self, from: u32, value: f32, discount: f32) {
        let (mut number, mut value) = (from, value);
        loop {
            let node = &mut self.nodes[number as usize];
            node.visits += 1;
            node.sum += f64::from(value);
            if number == self.root {
                return;
            }
            value = self.value_before(number, value, discount);
            let q = self.value_before(number, self.mean(number), discount);
            self.range = [self.range[0].min(q), self.range[1].max(q)];
            number = self.nodes[number as usize].parent;
        }
    }

    /// Makes a node the root, and forgets all that is not below it.
    pub(super) fn move_root(&mut self, node: u32) {
        let mut kept = vec![false; self.nodes.len()];
        let mut open = vec![node];
        while let Some(next) = open.pop() {
            kept[next as usize] = true;
            for action in 0..self.actions {
                open.extend(self.outcomes(next, action));
            }
        }
        self.root = node;
        let root = &mut self.nodes[node as usize];
        (root.parent, root.sibling) = (NONE, NONE);
        self.free.clear();
        self.free.extend((0..self.nodes.len() as u32).rev().filter(|&number| !kept[number as usize]));
    }
}
