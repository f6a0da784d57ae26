using Penstock.Interop;

namespace Penstock.Hypervisor;

/// <summary>
/// A tapped guest's PCI instructions, and what this process does with those of one function. It has a thread of its own, which the plugin rings;
/// members may be called from any other thread.
/// </summary>
/// <remarks>
/// The function is known by its identifier, from the guest's CLP LIST PCI on. Its tables are those that the guest registered with MPCIFC, once
/// QEMU has accepted them; they are given up with MPCIFC, with CLP, and by <see cref="AnchorLost"/>. See <c>docs/zpci/tap.md</c>.
/// </remarks>
public sealed class TapSession : IDisposable
{
    private const int OnlyFunction = 0;
    private const int MostPolls = 400;
    private const int LeastPolls = 2;

    private static readonly TimeSpan BeatTime = TimeSpan.FromMilliseconds(200);

    private readonly TapSessionOptions _options;
    private readonly TapChannel _channel;
    private readonly TapFunction _function;
    private readonly Thread _thread;
    private readonly Lock _gate = new();
    private readonly Queue<Action> _commands = new();
    private readonly byte[] _data = new byte[TapLayout.LongestData];
    private int _polls = MostPolls;
    private volatile bool _stopping;

    /// <summary>Makes the channel. The tap listens from <see cref="Start"/> on.</summary>
    /// <param name="options">What it does.</param>
    /// <exception cref="SystemCallException">The channel cannot be made.</exception>
    public TapSession(TapSessionOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        _options = options;
        _channel = new TapChannel { TellsRpcit = options.Recorder is not null };
        _function = new TapFunction(options, _channel, OnlyFunction);
        _thread = new Thread(Run) { IsBackground = true, Name = "tap" };
    }

    /// <summary>Where the plugin finds the channel: for <see cref="TapPlugin.Arguments"/>.</summary>
    public string ChannelPath => _channel.Path;

    /// <summary>Whether a plugin has opened the channel.</summary>
    public bool IsAttached => _channel.IsAttached;

    /// <summary>Whether the plugin has given this process up; QEMU does everything since then.</summary>
    public bool IsGivenUp => _channel.IsGivenUp;

    /// <summary>Who answers RPCIT at this moment: a wish for another path takes effect when the guest's tables allow it.</summary>
    public RpcitPath Path => _function.Path;

    /// <summary>Whether the guest has registered tables.</summary>
    public bool HasAnchor => _function.HasAnchor;

    /// <summary>Finds out which tables the guest has registered.</summary>
    /// <returns>The tables, or null without any.</returns>
    public IoatRegistration? FindRegistration()
    {
        IoatRegistration? found = null;
        Do(() => found = _function.Registration);
        return found;
    }

    /// <summary>Whether an end of a range that begins at 0 lies behind the guest's tables.</summary>
    /// <param name="end">The end, the first address that is not in the range.</param>
    /// <returns>Whether it does; true without tables.</returns>
    public bool IsBeyondTables(ulong end) => _function.IsBeyondTables(end);

    /// <summary>What was done so far.</summary>
    public TapCounters Counters => _function.Counters;

    /// <summary>How the device's interrupts went.</summary>
    public TapInterruptCounters InterruptCounters => _options.Interrupts?.Counters ?? default;

    /// <summary>
    /// Whether interrupts are indicated in the guest's memory now, and QEMU is told only of those that the guest would not see. They are as soon as the guest has
    /// registered its indicators and unmasked a vector, if QEMU's guest can have two processors or more (<c>-smp 1,maxcpus=2</c>).
    /// </summary>
    public bool IndicatesInterrupts => _options.Interrupts?.IsDirect ?? false;

    /// <summary>Starts to listen. Start QEMU afterwards.</summary>
    public void Start() => _thread.Start();

    /// <summary>
    /// Has RPCIT answered in another way from now on, in a running guest. To <see cref="RpcitPath.Fallback"/> the guest is refused the next page that
    /// it maps, tells QEMU all its pages then, and the device follows QEMU's messages from that moment on: see <see cref="Path"/>.
    /// </summary>
    /// <param name="path">The way.</param>
    public void SwitchTo(RpcitPath path) => Do(() => _function.SwitchTo(path));

    /// <summary>
    /// The user of the device's address space has removed all of it: QEMU does that when the guest's tables go in ways that no instruction here shows,
    /// such as a reset. When it returns the device does not use them any more, and no interrupt is indicated, also if the tap's thread has not come to it in
    /// time.
    /// </summary>
    public void AnchorLost()
    {
        _options.Interrupts?.Lose();
        _options.Target?.Lose();
        Do(() =>
        {
            try
            {
                _function.AnchorLost();
            }
            finally
            {
                _options.Target?.EndLoss();
                _options.Interrupts?.EndLoss();
            }
        });
    }

    /// <summary>
    /// Lets the plugin hold this process's end of QEMU's connection as well: QEMU then survives that this process is killed in the middle of a message.
    /// </summary>
    /// <param name="connection">The connection, which stays the caller's. Its peer is QEMU.</param>
    public void Share(UnixSocket connection)
    {
        ArgumentNullException.ThrowIfNull(connection);
        _channel.OfferConnection(connection);
    }

    /// <summary>Writes a mark into the recording.</summary>
    /// <param name="name">The mark's name, without line ends.</param>
    public void Mark(string name) => Do(() => _options.Recorder?.Mark(name));

    /// <summary>Leaves: the device gets its user's mappings back, and the plugin leaves everything to QEMU.</summary>
    public void Dispose()
    {
        if (_stopping)
        {
            return;
        }

        _stopping = true;
        if (_thread.IsAlive)
        {
            _channel.Ring();
            _thread.Join();
        }

        _channel.Dispose();
    }

    private void Run()
    {
        try
        {
            while (!_stopping)
            {
                Serve();
            }
        }
        catch (Exception fault)
        {
            // The last resort of a dedicated thread.
            _options.Log?.Invoke($"the tap ended: {fault}");
        }

        try
        {
            _channel.Leave();
            _function.End();
            _options.Recorder?.End();
        }
        catch (Exception fault)
        {
            _options.Log?.Invoke($"the device could not be taken back: {fault.Message}");
        }
    }

    private void Serve()
    {
        _channel.Beat();
        if (!AwaitWork())
        {
            return;
        }

        if (_channel.IsGivenUp)
        {
            _function.GivenUp();
        }

        RunCommands();
        if (!_channel.EndOffer())
        {
            _options.Log?.Invoke("the plugin may not hold QEMU's connection; if this process is killed while the guest uses the device, QEMU may abort");
        }

        if (_channel.Head != _channel.Drained)
        {
            DrainRing();
        }

        // What waited for the lines above comes after them.
        for (int processor = 0; processor < TapLayout.SlotCount; processor++)
        {
            if (_channel.TryTake(processor, _data, out TapCall call))
            {
                TapAnswer answer = Handle(processor, call);
                if (!_channel.Answer(processor, answer))
                {
                    _function.GivenUp();
                }
            }
        }
    }

    /// <summary>Polls a moment, then sleeps.</summary>
    /// <returns>Whether somebody rang.</returns>
    private bool AwaitWork()
    {
        for (int i = 0; i < _polls; i++)
        {
            if (_channel.HasRung())
            {
                _polls = Math.Min(_polls * 2, MostPolls);
                return true;
            }

            Thread.SpinWait(4);
        }

        // In vain: on a busy machine polling takes the processor from the guest that is waited for.
        _polls = Math.Max(_polls / 2, LeastPolls);
        _channel.AwaitBell(BeatTime);
        return _channel.HasRung() || _channel.IsGivenUp;
    }

    private TapAnswer Handle(int processor, in TapCall call)
    {
        try
        {
            return _function.Handle(processor, call, _data.AsSpan(0, call.DataLength));
        }
        catch (Exception fault) when (call.Kind != TapCallKind.RpcitAsked)
        {
            // QEMU has done it; an RPCIT that is not done here ends the tap instead, so that QEMU is told every page.
            _options.Log?.Invoke($"the tap leaves {call.Kind} to QEMU: {fault.Message}");
            return TapAnswer.GoOn;
        }
    }

    private void DrainRing()
    {
        uint head = _channel.Head;
        _channel.ClearBusy();
        _options.Target?.DrainRing(_channel.Drained, head);
        _channel.SetDrained(head);
    }

    private void RunCommands()
    {
        while (true)
        {
            Action command;
            lock (_gate)
            {
                if (!_commands.TryDequeue(out command!))
                {
                    return;
                }
            }

            try
            {
                command();
            }
            catch (Exception fault)
            {
                _options.Log?.Invoke($"the tap could not do what it was asked: {fault.Message}");
            }
        }
    }

    /// <summary>Does something on the tap's thread and waits for it, but not for ever: whoever calls may serve a guest.</summary>
    private void Do(Action command)
    {
        if (!_thread.IsAlive || Thread.CurrentThread == _thread)
        {
            if (!_stopping)
            {
                command();
            }

            return;
        }

        // Not disposed: whoever came too late for it still sets it.
        var done = new ManualResetEventSlim();
        lock (_gate)
        {
            _commands.Enqueue(() =>
            {
                try
                {
                    command();
                }
                finally
                {
                    done.Set();
                }
            });
        }

        _channel.Ring();
        if (!done.Wait(_options.CommandTime))
        {
            _options.Log?.Invoke("the tap's thread is busy; what it was asked is done later");
        }
    }
}
