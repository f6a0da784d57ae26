using Penstock.Interop;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// The zPCI functions of a guest, as a VMM serves them: plugging and unplugging, the guest's instructions, events for the guest (zPCI
/// architecture). All members may be called from any thread. Lock order: the bus, then a function; neither is taken by devices that signal or
/// fail.
/// </summary>
public sealed partial class ZpciBus : IDisposable
{
    private readonly Lock _gate = new();
    private readonly ZpciGuestGroups _groups;
    private readonly ZpciSuppression _suppression = new();
    private readonly Dictionary<VfioContainer, ZpciDmaLimit> _limits = [];
    private readonly Action<int> _inject;
    private ZpciGuestFunction?[] _byIndex = [];
    private ZpciGuestFunction[] _functions = [];
    private int _nextIndex;
    private bool _disposed;

    /// <summary>Makes a bus without functions.</summary>
    /// <param name="machine">The guest's machine, which must outlive the bus.</param>
    /// <param name="options">What it has; null for everything.</param>
    public ZpciBus(SimulatedVm machine, ZpciBusOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(machine);
        Machine = machine;
        Options = options ?? new ZpciBusOptions();
        Events = new ZpciEventQueue(Options.MaximumEvents);
        _groups = new ZpciGuestGroups(Options.DesignationTypes);
        _inject = Options.Inject ?? machine.Processors.Inject;
    }

    /// <summary>The guest's machine.</summary>
    public SimulatedVm Machine { get; }

    /// <summary>What it has.</summary>
    public ZpciBusOptions Options { get; }

    /// <summary>The functions as of now, by index.</summary>
    public IReadOnlyList<ZpciGuestFunction> Functions => Volatile.Read(ref _functions);

    /// <summary>How many events wait for the guest.</summary>
    public int PendingEvents => Events.Count;

    /// <summary>How many events were dropped, since the guest asked for none.</summary>
    public long DroppedEvents => Events.Dropped;

    /// <summary>How many interruptions the guest had held back (SIC).</summary>
    public long SuppressedInterruptions => _suppression.Suppressed;

    internal ZpciEventQueue Events { get; }

    /// <summary>Hands the oldest event to the guest.</summary>
    /// <param name="oldest">The event.</param>
    /// <returns>False when none waits.</returns>
    public bool TryTakeEvent(out ZpciGuestEvent oldest) => Events.TryTake(out oldest);

    /// <summary>The function with an id.</summary>
    /// <param name="functionId">The id.</param>
    /// <returns>The function; null when there is none.</returns>
    public ZpciGuestFunction? FindById(uint functionId) => Array.Find(Volatile.Read(ref _functions), f => f.FunctionId == functionId);

    /// <summary>SCLP: the guest takes a function that stands by.</summary>
    /// <param name="functionId">Its id.</param>
    /// <returns>How it went.</returns>
    public ZpciSclpResponse Configure(uint functionId) => FindById(functionId)?.Configure() ?? ZpciSclpResponse.NotRecognized;

    /// <summary>
    /// SCLP: the guest gives a function back. Its interrupts and tables go; if it was asked to give it back the function is unplugged.
    /// </summary>
    /// <param name="functionId">Its id.</param>
    /// <returns>How it went.</returns>
    public ZpciSclpResponse Deconfigure(uint functionId)
    {
        if (FindById(functionId) is not { } function)
        {
            return ZpciSclpResponse.NotRecognized;
        }

        ZpciSclpResponse response = function.Deconfigure();
        if (response == ZpciSclpResponse.Done && function.IsUnplugRequested)
        {
            Remove(function);
        }

        return response;
    }

    /// <summary>
    /// Unplugs a function: at once when the guest does not have it, otherwise when the guest has given it back. The guest is asked each
    /// time.
    /// </summary>
    /// <param name="function">The function.</param>
    /// <returns>Whether it is gone.</returns>
    public bool RequestUnplug(ZpciGuestFunction function)
    {
        ArgumentNullException.ThrowIfNull(function);
        if (function.IsConfigured)
        {
            function.IsUnplugRequested = true;
            function.Announce(ZpciAvailabilityEvent.DeconfigureRequest);
            return false;
        }

        Remove(function);
        return true;
    }

    /// <summary>
    /// Takes a function away without asking the guest, such as when its device is gone. Its interrupts, tables and measurement end, its
    /// device file is closed, and the guest is told. Without effect on one that is gone.
    /// </summary>
    /// <param name="function">The function.</param>
    public void Remove(ZpciGuestFunction function)
    {
        ArgumentNullException.ThrowIfNull(function);
        lock (_gate)
        {
            if (!Contains(function))
            {
                return;
            }

            var byIndex = (ZpciGuestFunction?[])_byIndex.Clone();
            byIndex[function.Index] = null;
            Publish(byIndex);
            LeaveLimit(function);
        }

        // Closing waits for those who are in the device, and calls hooks of others: not with the lock held.
        function.Unplugged();
    }

    /// <summary>The machine is reset: pending unplugs are done, all other functions are disabled, and nothing is registered any more.</summary>
    public void SystemReset()
    {
        foreach (ZpciGuestFunction function in Functions)
        {
            if (function.IsUnplugRequested)
            {
                function.StandBy();
                Remove(function);
            }
            else
            {
                function.Reset();
            }
        }

        _suppression.Reset();
    }

    /// <summary>The machine is shut down: internal shared memory is reset, so that its peers learn of it.</summary>
    public void Shutdown()
    {
        foreach (ZpciGuestFunction function in Functions)
        {
            function.ResetSharedMemory();
        }
    }

    /// <summary>Takes all functions away.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            _disposed = true;
        }

        Shutdown();
        foreach (ZpciGuestFunction function in Functions)
        {
            Remove(function);
        }
    }

    /// <summary>An adapter interruption of a function, unless the guest wants none now.</summary>
    internal void Interrupt(int subclass)
    {
        if (_suppression.Passes(subclass))
        {
            _inject(subclass);
        }
    }

    internal ZpciGuestGroup? FindGroup(byte id)
    {
        lock (_gate)
        {
            return _groups.Find(id);
        }
    }

    internal void Log(string line) => Options.Log?.Invoke(line);

    internal ZpciDmaLimit? LimitOf(ZpciGuestFunction function)
    {
        lock (_gate)
        {
            return function.Options.Container is { } container ? _limits.GetValueOrDefault(container) : null;
        }
    }

    private bool Contains(ZpciGuestFunction function) => Array.IndexOf(_functions, function) >= 0;

    private void Publish(ZpciGuestFunction?[] byIndex)
    {
        Volatile.Write(ref _byIndex, byIndex);
        Volatile.Write(ref _functions, [.. byIndex.OfType<ZpciGuestFunction>()]);
    }
}
