using System.Diagnostics;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.Specs.Nvme;
using Penstock.Vfio;

namespace Penstock.Devices;

/// <summary>
/// The controller: takes commands off the host's submission queues, has them carried out and completes them. It works as posted work on the
/// function's strand, in turns that are short enough to let register calls in, and sleeps when there is nothing to do. Where a turn waits for
/// message DMA the strand is free meanwhile, and what is there afterwards may be another life of the controller (<see cref="Epoch"/>): methods
/// that may wait so say whether it is still the same.
/// </summary>
internal sealed partial class NvmeController : IStrandWork, IDisposable
{
    private const int TurnsAtOnce = 16;
    private const int SpinsBetweenTurns = 8;

    private static readonly long LingerTicks = Stopwatch.Frequency / 20_000;

    private readonly NvmeDoorbells _doorbells;
    private readonly NvmeWorkers _workers;
    private readonly NvmeIo _io;
    private readonly NvmeAdmin _admin;
    private PciFunctionPort? _port;
    private NvmeInterrupts? _interrupts;

    // The sampler while it times the look at the doorbells that is being followed now.
    private NvmeSampler? _sample;
    private int _posted;
    private int _firstServed;
    private bool _isInTurn;
    private long _lingersUntil;
    private long _turns;

    internal NvmeController(NvmeNamespace media, NvmeIdentity identity, NvmeOptions options, SharedMemory? polled)
    {
        Options = options;
        Namespace = media;
        Queues = new NvmeQueueSet(options.IoQueues);
        Jobs = new NvmeJobPool(options.Commands, NvmeOptions.LongestTransfer);
        Events = new NvmeEvents();
        Sampler = options.Times ? new NvmeSampler() : null;
        _finished = new int[options.Commands];
        _doorbells = new NvmeDoorbells(Queues, Events, polled);
        _workers = new NvmeWorkers(options.Commands + 1, options.Workers, RunOnWorker, Kick);
        _io = new NvmeIo(media, _workers, options.Workers);
        _admin = new NvmeAdmin(this, identity);
        ResetRegisters();
    }

    /// <summary>Which life the controller is in; each reset begins another.</summary>
    internal int Epoch { get; private set; }

    internal NvmeOptions Options { get; }

    /// <summary>What tells where the time goes, if that is asked for.</summary>
    internal NvmeSampler? Sampler { get; }

    internal NvmeNamespace Namespace { get; }

    internal NvmeQueueSet Queues { get; }

    internal NvmeJobPool Jobs { get; }

    internal NvmeEvents Events { get; }

    internal NvmeDoorbells Doorbells => _doorbells;

    internal DmaPort Dma => _port!.Dma;

    /// <summary>What commands asked for and came to.</summary>
    internal NvmeLogPages Logs => _admin.Logs;

    /// <summary>DMA of this life of the controller.</summary>
    internal DmaTransfer Transfer { get; private set; }

    /// <summary>The host's memory, for work on the strand that may wait.</summary>
    internal NvmeHostMemory Memory => new(Dma, Transfer, borrowOnly: false);

    /// <summary>Interrupt messages sent. From any thread.</summary>
    internal long InterruptsSent => _interrupts?.Sent ?? 0;

    /// <summary>Whether the host is interrupted by the pin.</summary>
    internal bool HostUsesPin => _port!.UsesPin;

    /// <summary>How many turns there were: one that sleeps has no more of them. From any thread.</summary>
    internal long Turns => Interlocked.Read(ref _turns);

    /// <summary>How many worker threads there are. From any thread.</summary>
    internal int WorkerThreads => _workers.Threads;

    internal void Attach(PciFunctionPort port)
    {
        _port = port;
        _interrupts = new NvmeInterrupts(port, Queues);
        Transfer = port.Dma.BeginTransfer();
    }

    /// <summary>Ends the workers. The function must not be in use any more.</summary>
    public void Dispose() => _workers.Dispose();

    /// <summary>There may be something to do: a turn is posted, if none is. From any thread.</summary>
    internal void Kick()
    {
        if (Interlocked.Exchange(ref _posted, 1) == 0)
        {
            _port?.Strand.Post(this);
        }
    }

    /// <summary>A turn; of those in which there is nothing to do several, since each that is posted costs more than it.</summary>
    void IStrandWork.Run()
    {
        // What is announced from here on posts another turn.
        Interlocked.Exchange(ref _posted, 0);
        for (int i = 0; i < TurnsAtOnce; i++)
        {
            if (!Turn(out bool progressed))
            {
                _sample = null;
                Sampler?.Close();
                return;
            }

            if (progressed)
            {
                break;
            }

            Thread.SpinWait(SpinsBetweenTurns);
        }

        Kick();
    }

    private bool Turn(out bool progressed)
    {
        progressed = false;
        Volatile.Write(ref _turns, _turns + 1);
        CollectFinished();
        if (!IsWorking)
        {
            // One that cannot go on can be shut down all the same.
            ContinueShutdown();
            return false;
        }

        _isInTurn = true;
        try
        {
            return Work(out progressed);
        }
        finally
        {
            _isInTurn = false;
            if (IsQuiet)
            {
                Drained();
            }
        }
    }

    /// <summary>Works until there is nothing to do or the turn is over.</summary>
    /// <returns>Whether there is more to do.</returns>
    private bool Work(out bool progressed)
    {
        int epoch = Epoch;
        progressed = false;
        if (!GoOn(epoch))
        {
            return false;
        }

        int budget = Options.TurnLength;
        bool progress;
        do
        {
            _sample = Sampler?.Next();
            if (!LookAtDoorbells(epoch))
            {
                return false;
            }

            _sample?.Mark(NvmePhase.Doorbells);
            progress = false;
            if (!CompleteFinished(epoch, ref progress) || !ServeQueues(epoch, ref budget, ref progress) || !TellEvents(epoch, ref progress))
            {
                return false;
            }

            progressed |= progress;
            _sample?.Mark(NvmePhase.Other);
            _interrupts!.Flush(isTurnOver: false);
            _sample?.Mark(NvmePhase.Interrupt);
        }
        while (progress && budget > 0);

        _interrupts.Flush(isTurnOver: true);
        _sample?.Mark(NvmePhase.Interrupt);
        if (budget <= 0)
        {
            return true;
        }

        ContinueShutdown();
        return Options.Poll || GoToSleep(epoch, progressed);
    }

    /// <summary>Nothing is left to do: the host is asked to ring, and then the controller looks once more.</summary>
    /// <returns>Whether there is something to do all the same.</returns>
    private bool GoToSleep(int epoch, bool progressed)
    {
        if (!_doorbells.HasShadow)
        {
            return false;
        }

        if (_doorbells.IsShadowNear)
        {
            // A host that is answered asks again soon, and that costs it a message once the controller sleeps.
            long now = Stopwatch.GetTimestamp();
            if (progressed)
            {
                _lingersUntil = now + LingerTicks;
            }

            if (now < _lingersUntil)
            {
                return true;
            }
        }

        Errno errno = _doorbells.Arm(Memory, wantsHeads: !_port!.UsesVectors);
        if (epoch != Epoch)
        {
            return false;
        }

        if (errno != Errno.None)
        {
            Fail(errno);
            return false;
        }

        return LookAtDoorbells(epoch) && HasWork();
    }

    private bool HasWork()
    {
        _interrupts!.Flush(isTurnOver: true);
        if (Events.CanTell && Queues.Completion(0)!.HasRoom)
        {
            return true;
        }

        for (int id = 0; id < Queues.End; id++)
        {
            if (Queues.Submission(id) is { IsDeleting: false, Waiting: not 0 } queue && queue.Completions.HasRoom && Jobs.Free != 0 && MayServe(id))
            {
                return true;
            }
        }

        return false;
    }

    private bool LookAtDoorbells(int epoch)
    {
        if (Options.Poll)
        {
            _doorbells.LoadPolled();
            return true;
        }

        if (!_doorbells.HasShadow)
        {
            return true;
        }

        Errno errno = _doorbells.Load(Dma, Transfer);
        if (epoch != Epoch)
        {
            return false;
        }

        if (errno != Errno.None)
        {
            Fail(errno);
            return false;
        }

        return true;
    }

    /// <summary>A little of each queue in turn, so that none waits for another.</summary>
    private bool ServeQueues(int epoch, ref int budget, ref bool progress)
    {
        int end = Queues.End;
        if (++_firstServed >= end)
        {
            _firstServed = 0;
        }

        for (int i = 0; i < end && budget > 0; i++)
        {
            int id = _firstServed + i;
            id = id >= end ? id - end : id;
            if (Queues.Submission(id) is { Waiting: not 0 } queue && MayServe(id) && !Serve(queue, epoch, ref budget, ref progress))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>During a shutdown only the admin queue is served, after it nothing.</summary>
    private bool MayServe(int id) => ShutdownStatus switch
    {
        NvmeShutdownStatus.Normal => true,
        NvmeShutdownStatus.Occurring => id == 0,
        _ => false,
    };
}
