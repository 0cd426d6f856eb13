//! From a seed to the operations of a run. The seed also says which faults there are, and how often.

use crate::config::{Config, NIGHT_MS};
use crate::delivery::{SHARDS, STORES, StoreFault};
use crate::ingress::NODES;
use crate::ops::{Fault, Op};
use crate::rng::{Rng, mix};

/// Reasons for which a record can be poison.
const POISON_KINDS: u64 = 5;
/// Processes that may live at once; more would only make runs slow.
const PROCESSES_MAX: usize = 6;
/// Rounds per flush interval at the end of a calm run.
const CALM_ROUNDS: u64 = 6;
/// Rounds of the night after it.
const NIGHT_ROUNDS: u64 = 10;
/// Steps from the fence of a slot to its first record.
const OPENING_STEPS: u64 = 4;
/// Ten years.
const WILD_MS: u64 = 10 * 365 * 24 * 3_600_000;

/// How often things happen, in so many of 1,000 rounds or steps; 0 where the seed leaves a fault out.
#[derive(Clone, Copy, Debug, Default)]
struct Rates {
    kill: u64,
    pause: u64,
    rescale: u64,
    bump: u64,
    replace: u64,
    fault: u64,
    broker_restart: u64,
    leap: u64,
    truncate: u64,
    expire: u64,
    foreign: u64,
    control: u64,
    hold: u64,
    poison: u64,
    redeliver: u64,
    wild: u64,
    attack: u64,
    compact: u64,
    sink_crash: u64,
}

/// A process that was started.
#[derive(Clone, Copy, Debug)]
struct Process {
    number: u64,
    generation: u64,
    index: u64,
    count: u64,
    /// Rounds for which it stands still.
    paused: u64,
    /// Rounds after which it is killed.
    ends_in: Option<u64>,
}

/// The configuration of a seed, and what happens.
pub(crate) fn generate(seed: u64) -> (Config, Vec<Op>) {
    let mut rng = Rng::new(seed);
    let config = Config::draw(&mut rng);
    let rates = Rates::draw(&mut rng, &config);
    let rounds = rng.within(12, 45);
    let mut generator = Generator::new(config, rates, rng);
    generator.start_all(1, config.workers);
    let recreated_in = generator.loss_rng.within(rounds / 3, rounds);
    for round in 0..rounds {
        if config.loses_logs == 2 && round == recreated_in {
            generator.recreate();
        }
        generator.round();
    }
    if config.is_calm == 1 {
        (0..2 * CALM_ROUNDS).for_each(|_| generator.quiet_round(config.flush_ms / CALM_ROUNDS + 1));
        (0..NIGHT_ROUNDS).for_each(|_| generator.quiet_round(NIGHT_MS / NIGHT_ROUNDS));
    }
    (config, generator.ops)
}

impl Rates {
    fn draw(rng: &mut Rng, config: &Config) -> Self {
        let mut rate = |most: u64| if rng.chance(500) { rng.within(1, most) } else { 0 };
        let of_log = Self {
            control: rate(150),
            poison: rate(200),
            redeliver: rate(400),
            wild: rate(150),
            attack: rate(300),
            compact: rate(150),
            ..Self::default()
        };
        if config.is_calm == 1 {
            return of_log;
        }
        Self {
            kill: rate(150),
            pause: rate(150),
            rescale: rate(60),
            bump: rate(30),
            replace: rate(100),
            fault: rate(150),
            broker_restart: rate(60),
            leap: rate(120),
            truncate: rate(60),
            expire: rate(40),
            foreign: rate(60),
            hold: rate(100),
            sink_crash: rate(300),
            ..of_log
        }
    }
}

/// How often things happen around the stores, in so many of 1,000 rounds.
#[derive(Clone, Copy, Debug, Default)]
struct DeliveryRates {
    fault: u64,
    repair: u64,
    refuse: u64,
    retry: u64,
    crash: u64,
    reopen: u64,
}

impl DeliveryRates {
    /// Nothing fails in two of five seeds.
    fn draw(rng: &mut Rng, config: &Config) -> Self {
        if config.is_calm == 1 || rng.chance(400) {
            return Self::default();
        }
        let (fault, repair, refuse) = (rng.within(50, 400), rng.within(50, 400), rng.pick(&[0, 100, 250]));
        Self {
            fault,
            repair,
            refuse,
            retry: rng.within(100, 700),
            crash: rng.within(0, 400),
            reopen: rng.pick(&[0, 100, 300]),
        }
    }
}

struct Generator {
    config: Config,
    rates: Rates,
    rng: Rng,
    /// Of its own, so that what happens to stores changes nothing of what happens to workers.
    delivery_rng: Rng,
    delivery_rates: DeliveryRates,
    /// Of its own too: for what logs lose.
    loss_rng: Rng,
    /// In so many of 1,000 rounds a partition loses its tail.
    tail_loss: u64,
    /// In so many of 1,000 rounds the clock of an ingress node goes wrong, or right again.
    clock: u64,
    /// In so many of 1,000 rounds the database of a shard is restored; backups are more frequent.
    restore: u64,
    /// Where the database of the store with two sinks is restored while they take short turns: what the turns are drawn from.
    duel_rng: Option<Rng>,
    ops: Vec<Op>,
    processes: Vec<Process>,
    next_process: u64,
    next_frame: u64,
    generation: u64,
}

impl Generator {
    fn new(config: Config, rates: Rates, rng: Rng) -> Self {
        let (ops, processes) = (Vec::new(), Vec::new());
        let mut delivery_rng = Rng::new(rng.clone().word());
        let delivery_rates = DeliveryRates::draw(&mut delivery_rng, &config);
        let mut loss_rng = Rng::new(mix(rng.clone().word()));
        let tail_loss = if config.loses_logs == 1 { loss_rng.within(20, 150) } else { 0 };
        let clocks = config.is_calm == 0 && loss_rng.chance(150);
        let clock = if clocks { loss_rng.within(50, 300) } else { 0 };
        let restores = config.is_calm == 0 && loss_rng.chance(150);
        let restore = if restores { loss_rng.within(30, 150) } else { 0 };
        let mut duel_rng = Rng::new(mix(mix(loss_rng.clone().word())));
        let duel_rng = (restores && duel_rng.chance(500)).then_some(duel_rng);
        Self {
            config,
            rates,
            rng,
            delivery_rng,
            delivery_rates,
            loss_rng,
            tail_loss,
            clock,
            restore,
            duel_rng,
            ops,
            processes,
            next_process: 1,
            next_frame: 1,
            generation: 1,
        }
    }

    fn round(&mut self) {
        self.pass_time();
        self.lose_tails();
        self.set_clocks();
        self.input();
        self.log_faults();
        self.broker_faults();
        self.rescale();
        if self.config.is_calm == 1 {
            self.turn_all();
        } else {
            self.disturb_processes();
            self.step_processes();
        }
        self.sinks();
        self.stores();
        self.backups();
    }

    /// Time and turns, nothing else.
    fn quiet_round(&mut self, ms: u64) {
        self.ops.push(Op::Advance { ms });
        self.turn_all();
    }

    fn turn_all(&mut self) {
        self.ops.extend(self.processes.iter().map(|process| Op::Turn { process: process.number }));
    }

    fn pass_time(&mut self) {
        let length_ms = self.config.length_ms;
        let ms = if self.config.is_calm == 1 {
            self.rng.within(1, 500)
        } else if self.rng.chance(self.rates.leap) {
            self.rng.within(length_ms, 10 * length_ms)
        } else {
            self.rng.within(1, length_ms / 2)
        };
        self.ops.push(Op::Advance { ms });
    }

    fn input(&mut self) {
        for _ in 0..self.rng.below(4) {
            self.frame();
        }
        if self.rng.chance(self.rates.redeliver) && self.next_frame > 1 {
            let recent = self.next_frame.min(8);
            let (frame, node) = (self.next_frame - self.rng.within(1, recent), self.rng.below(3));
            self.ops.push(Op::Redeliver { frame, node });
        }
        let partition = self.rng.below(self.config.partitions);
        if self.rng.chance(self.rates.poison) {
            // A panic restarts the job, which makes a run less than calm; it is the last kind.
            let kind = self.rng.below(POISON_KINDS - self.config.is_calm);
            self.ops.push(Op::Poison { partition, kind });
        }
        if self.rng.chance(100) {
            self.ops.push(Op::Heartbeat { partition });
        }
    }

    fn frame(&mut self) {
        let (frame, node) = (self.next_frame, self.rng.below(3));
        self.next_frame += 1;
        let mut owner = self.rng.below(self.config.owners);
        let is_attack = self.rng.chance(self.rates.attack);
        let is_wild = self.rng.chance(self.rates.wild);
        if is_attack || is_wild {
            owner = 0;
        }
        let count = if is_attack { self.rng.within(5, 25) } else { self.rng.within(1, 4) };
        let dimensions = if is_attack { 60 } else { 3 };
        let mut measurements = Vec::new();
        for _ in 0..count {
            let ms = if is_wild { self.wild_ms() } else { self.event_ms() };
            measurements.push((ms, self.rng.below(dimensions) as u32));
        }
        let other = if self.rng.chance(300) { self.rng.below(self.config.owners) } else { owner };
        let owners = if is_attack || is_wild { (owner, owner) } else { (owner, other) };
        self.ops.push(Op::Frame { frame, owners, node, measurements });
    }

    /// Event time relative to now: mostly just now, often late, sometimes ahead.
    fn event_ms(&mut self) -> i64 {
        let length_ms = self.config.length_ms;
        let (behind, ahead) = match self.rng.below(10) {
            0..6 => (self.rng.below(length_ms), 0),
            6..9 => (self.rng.below((self.config.lateness + 3) * length_ms), 0),
            _ => (0, self.rng.below((self.config.future + 2) * length_ms)),
        };
        ahead.cast_signed() - behind.cast_signed()
    }

    fn wild_ms(&mut self) -> i64 {
        let ms = self.rng.below(WILD_MS).cast_signed();
        if self.rng.chance(500) { -ms } else { ms }
    }

    /// Before the input of the round, which the log may take before any worker looks at it again.
    fn lose_tails(&mut self) {
        if self.loss_rng.chance(self.tail_loss) {
            let (partition, records) =
                (self.loss_rng.below(self.config.partitions), self.loss_rng.within(1, 12));
            // A failover takes time: what comes after it is stamped later than what was lost.
            self.ops.extend([Op::Advance { ms: 1 }, Op::LoseTail { partition, records }]);
            if self.loss_rng.chance(300) {
                self.turn_all();
            }
        }
    }

    /// The raw topic is deleted and made anew, and drains and workers go on at once.
    fn recreate(&mut self) {
        self.ops.push(Op::Recreate);
        for _ in 0..3 {
            self.frame();
            self.turn_all();
            self.ops.push(Op::Advance { ms: self.config.flush_ms });
        }
    }

    /// Far ahead, beyond what the log takes, or just right.
    fn set_clocks(&mut self) {
        if self.loss_rng.chance(self.clock) {
            let length_ms = self.config.length_ms;
            let ahead_ms =
                if self.loss_rng.chance(400) { 0 } else { self.loss_rng.within(1, 20 * length_ms) };
            let node = self.loss_rng.below(NODES as u64);
            self.ops.push(Op::Clock { node, ahead_ms });
        }
    }

    fn log_faults(&mut self) {
        let partition = self.rng.below(self.config.partitions);
        if self.rng.chance(self.rates.control) {
            self.ops.push(Op::Control { partition });
        }
        if self.rng.chance(self.rates.hold) {
            let is_held = self.rng.chance(600);
            self.ops.push(Op::Hold { partition, is_held });
        }
        if self.rng.chance(self.rates.truncate) {
            let permille = self.rng.pick(&[200, 500, 800, 1_000]);
            self.ops.push(Op::Truncate { partition, permille });
        }
    }

    fn broker_faults(&mut self) {
        if self.rng.chance(self.rates.expire) {
            let partition = self.rng.below(self.config.partitions);
            let generation = self.rng.within(1, self.generation);
            self.ops.push(Op::Expire { partition, generation });
        }
        if self.rng.chance(self.rates.foreign) {
            let is_there = self.rng.chance(500);
            self.ops.push(Op::Foreign { is_there });
        }
        if self.rng.chance(self.rates.broker_restart) {
            self.ops.push(Op::Restart);
        }
        if self.rng.chance(300) {
            let nth = self.rng.below(4);
            self.ops.push(Op::Deliver { nth });
        }
        if self.rng.chance(self.rates.compact) {
            let permille = self.rng.below(1_001);
            self.ops.push(Op::Compact { permille });
        }
    }

    /// Another number of workers, or another version of the fold, beside what runs already.
    fn rescale(&mut self) {
        if self.rng.chance(self.rates.bump) && self.generation < 2 {
            self.generation += 1;
            self.start_all(self.generation, self.config.workers);
        } else if self.rng.chance(self.rates.rescale) {
            let (generation, count) = (self.rng.within(1, self.generation), self.rng.within(1, 3));
            self.start_all(generation, count);
        }
    }

    fn start_all(&mut self, generation: u64, count: u64) {
        (0..count).for_each(|index| self.start(generation, index, count));
    }

    fn start(&mut self, generation: u64, index: u64, count: u64) {
        if self.processes.len() >= PROCESSES_MAX {
            let oldest = self.processes.remove(0);
            self.ops.push(Op::Kill { process: oldest.number });
        }
        let number = self.next_process;
        self.next_process += 1;
        self.processes.push(Process { number, generation, index, count, paused: 0, ends_in: None });
        self.ops.push(Op::Start { process: number, generation, index, count });
    }

    /// Kills, replaces and pauses. A successor starts at once, as platforms do it; who is replaced lives on for a
    /// while, and who was paused goes on as a zombie.
    fn disturb_processes(&mut self) {
        self.end_replaced();
        for place in (0..self.processes.len()).rev() {
            let Process { number, generation, index, count, .. } = self.processes[place];
            if self.rng.chance(self.rates.kill) {
                self.processes.remove(place);
                self.ops.push(Op::Kill { process: number });
            } else if self.rng.chance(self.rates.replace) {
                if self.rng.chance(500) {
                    self.ops.push(Op::Drain { process: number });
                }
                self.processes[place].ends_in = Some(self.rng.within(1, 4));
                self.start(generation, index, count);
                if self.rng.chance(700) {
                    self.hand_over(number);
                }
                continue;
            } else if self.rng.chance(self.rates.pause) {
                self.processes[place].paused = self.rng.within(1, 12);
            } else {
                continue;
            }
            self.start(generation, index, count);
        }
    }

    /// A process that is replaced goes on at full speed while its successor, the last to be started, opens.
    fn hand_over(&mut self, old: u64) {
        let new = self.next_process - 1;
        if self.rng.chance(150) {
            self.publish_between_steps(old, new);
        }
        for _ in 0..self.rng.below(16) {
            match self.rng.below(4) {
                0 => self.frame(),
                1 => self.ops.push(Op::Turn { process: old }),
                _ => {
                    let (slot, records) = (self.rng.below(self.config.slots), self.rng.within(1, 4));
                    self.ops.push(Op::Step { process: new, slot, records, fault: Fault::None });
                    let ms = self.rng.within(1, self.config.flush_ms);
                    self.ops.push(Op::Advance { ms });
                }
            }
        }
    }

    /// The predecessor reads and publishes between any two steps of its successor's opening and first writes.
    fn publish_between_steps(&mut self, old: u64, new: u64) {
        let (slot, ms) = (self.rng.below(self.config.slots), self.config.flush_ms);
        for step in 0..4 * OPENING_STEPS {
            self.ops.push(Op::Step { process: new, slot, records: 1, fault: Fault::None });
            if step < OPENING_STEPS {
                self.frame();
            }
            self.ops.push(Op::Advance { ms });
            if step < OPENING_STEPS {
                self.ops.push(Op::Turn { process: old });
            }
        }
    }

    fn end_replaced(&mut self) {
        for process in &mut self.processes {
            process.ends_in = process.ends_in.map(|rounds| rounds.saturating_sub(1));
        }
        let (ended, living) = self.processes.iter().partition(|process| process.ends_in == Some(0));
        self.processes = living;
        let ended: Vec<Process> = ended;
        self.ops.extend(ended.iter().map(|process| Op::Kill { process: process.number }));
    }

    /// Steps of all processes that do not stand still, in any order.
    fn step_processes(&mut self) {
        let mut awake = Vec::new();
        for process in &mut self.processes {
            if process.paused == 0 {
                awake.push(process.number);
            }
            process.paused = process.paused.saturating_sub(1);
        }
        for _ in 0..awake.len() as u64 * self.rng.within(1, 8) {
            let process = self.rng.pick(&awake);
            let (slot, records) = (self.rng.below(self.config.slots), self.rng.within(1, 12));
            let fault = if self.rng.chance(self.rates.fault) { self.fault() } else { Fault::None };
            self.ops.push(Op::Step { process, slot, records, fault });
            if self.rng.chance(150) {
                let ms = self.rng.within(1, self.config.length_ms / 20);
                self.ops.push(Op::Advance { ms });
            }
        }
    }

    fn fault(&mut self) -> Fault {
        let twice = if self.config.has_stray_ends == 1 { Fault::Twice } else { Fault::Cut };
        self.rng.pick(&[Fault::Lost, Fault::Unanswered, Fault::Cut, Fault::Late, twice])
    }

    fn sinks(&mut self) {
        if self.rng.chance(700) {
            let (sink, records) = (self.rng.below(3), self.rng.within(1, 40));
            let is_reversed = self.rng.chance(300);
            let crashes = self.rng.chance(self.rates.sink_crash);
            self.ops.push(Op::Sink { sink, records, is_reversed, crashes });
        }
    }

    /// What happens to the stores, and the retry processes before them.
    fn stores(&mut self) {
        let DeliveryRates { fault, repair, refuse, retry, crash, reopen } = self.delivery_rates;
        let rng = &mut self.delivery_rng;
        let (store, shard) = (rng.below(STORES as u64), rng.below(SHARDS as u64));
        if rng.chance(fault) {
            let fault = rng.pick(&StoreFault::OF_ANY_WORLD);
            self.ops.push(Op::Shard { store, shard, fault });
        } else if rng.chance(repair) {
            self.ops.push(Op::Shard { store, shard, fault: StoreFault::None });
        }
        if rng.chance(refuse) {
            let (is_picky, refuses_appends) = (rng.chance(700), rng.chance(400));
            self.ops.push(Op::Refuse { store, is_picky, refuses_appends });
        }
        if rng.chance(reopen) {
            self.ops.push(Op::Reopen { store });
            let (records, crashes) = (rng.within(1, 30), rng.chance(500));
            self.ops.push(Op::Retry { store, records, crashes });
        }
        if rng.chance(retry) {
            let (records, crashes) = (rng.within(1, 30), rng.chance(crash));
            self.ops.push(Op::Retry { store, records, crashes });
        }
    }

    /// Backups of the databases, and what goes back to one: most often soon after a failure of the shard.
    fn backups(&mut self) {
        let rng = &mut self.loss_rng;
        let (store, shard) = (rng.below(STORES as u64), rng.below(SHARDS as u64));
        let store = if self.duel_rng.is_some() { 1 } else { store };
        if rng.chance(3 * self.restore) {
            self.ops.push(Op::Backup { store, shard });
        } else if rng.chance(self.restore) {
            self.ops.push(Op::Restore { store, shard });
            if rng.chance(300) {
                self.ops.push(Op::Reopen { store });
            }
        }
        if let Some(rng) = &mut self.duel_rng
            && rng.chance(700)
        {
            if rng.chance(300) {
                let fault = rng.pick(&[StoreFault::Unanswered, StoreFault::None]);
                self.ops.push(Op::Shard { store, shard, fault });
            }
            let (sink, records) = (1 + rng.below(2), rng.within(1, 5));
            let (is_reversed, crashes) = (rng.chance(300), rng.chance(400));
            self.ops.push(Op::Sink { sink, records, is_reversed, crashes });
        }
    }
}
