using Penstock.Pci;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// A device's interrupts straight into a tapped guest's indicators (zPCI, adapter interruptions): the vector's bit is set here, and QEMU is told by the vector's
/// eventfd only when the summary bit was clear, for it sets that one and interrupts the guest exactly then. Whatever is not known for certain goes to QEMU.
/// </summary>
/// <remarks>
/// <see cref="Indicate"/> is called on the device's threads, <see cref="Lose"/> on any; the rest on the tap's thread. What takes something away returns when
/// nobody writes there any more.
/// </remarks>
internal sealed class TapInterrupts(GuestMemory memory, MsixCapability msix, Action<string>? log) : IMessageIndicator
{
    /// <summary>
    /// With one processor QEMU compiles a guest's atomic instructions to a load and a store, and a bit that is set between them would be lost.
    /// </summary>
    private const uint FewestProcessors = 2;

    private readonly TapMessageTable _table = new(msix);

    // Held for moments only, and neither with the log nor with anything else that may wait.
    private readonly Lock _aiming = new();
    private TapChannel? _channel;
    private Aim? _aim;
    private int _losses;
    private AdapterIndicatorPlace? _place;
    private bool _hasTables;
    private bool _ended;
    private long _indicated;
    private long _prods;

    /// <summary>What was done. Any thread.</summary>
    public TapInterruptCounters Counters => new(Interlocked.Read(ref _indicated), Interlocked.Read(ref _prods));

    /// <summary>Whether interrupts go into the guest's memory now, all or some. Any thread.</summary>
    public bool IsDirect => Volatile.Read(ref _aim) is not null;

    /// <inheritdoc/>
    public bool Indicate(int vector)
    {
        if (Volatile.Read(ref _aim) is not { } aim || (uint)vector >= (uint)aim.Messages.Length || aim.Messages[vector] == TapMessageTable.Nothing
            || !TryIndicate(aim, aim.Messages[vector], out bool isTold))
        {
            return false;
        }

        Interlocked.Increment(ref _indicated);
        if (!isTold)
        {
            Interlocked.Increment(ref _prods);
        }

        return isTold;
    }

    /// <summary>Whoever is inside the indicators has the channel as well: it goes after them.</summary>
    private static bool TryIndicate(Aim aim, int message, out bool isTold)
    {
        isTold = false;
        if (!aim.Indicators.TryEnter())
        {
            return false;
        }

        // Before the look: a plugin that gives up waits for those who are counted here.
        aim.Channel.EnterGuest();
        bool shows = !aim.Channel.IsGivenUp && aim.Indicators.TrySet(message, out isTold);
        aim.Channel.LeaveGuest();
        aim.Indicators.Leave();
        return shows;
    }

    /// <summary>
    /// The guest's tables are gone, whatever the tap's thread does at this moment: when this returns nothing is written any more, until <see cref="EndLoss"/>. Any
    /// thread.
    /// </summary>
    public void Lose()
    {
        lock (_aiming)
        {
            _losses++;
            EndAim();
        }
    }

    /// <summary>The tap's thread knows as well.</summary>
    public void EndLoss()
    {
        lock (_aiming)
        {
            _losses--;
        }
    }

    /// <summary>The function has this handle, enabled, from now on; 0 for none. Nothing is registered with a new one.</summary>
    public void Follow(TapChannel channel, uint handle)
    {
        _channel = channel;
        Deregister();
        _table.Forget();
        _table.Watch(channel, handle);
    }

    /// <summary>QEMU has done an MPCIFC.</summary>
    public void Modified(ZpciModifyOperation operation, in ZpciFib fib)
    {
        switch (operation)
        {
            case ZpciModifyOperation.RegisterInterrupts:
                Register(fib);
                break;
            case ZpciModifyOperation.DeregisterInterrupts:
                Deregister();
                break;
            case ZpciModifyOperation.ResetError or ZpciModifyOperation.ResetBlock:
                // Stores may have failed while it was in error, after they were told.
                _table.Forget();
                Apply();
                break;
            default:
                break;
        }
    }

    /// <summary>There are no indicators any more.</summary>
    public void Deregister()
    {
        _place = null;
        Apply();
    }

    /// <summary>
    /// Whether the guest has I/O tables. QEMU takes them away in every reset, and tells: without them the indicators may be somebody else's memory, and the
    /// message table another one.
    /// </summary>
    public void SetTables(bool there)
    {
        _hasTables = there;
        if (!there)
        {
            _table.Forget();
        }

        Apply();
    }

    /// <summary>The guest stores into what is watched. What it masks is masked when this returns.</summary>
    public void Store(in TapCall call)
    {
        _table.Store(new ZpciRegister(call.R1), call.Start, call.Length, call.Kind == TapCallKind.Store);
        Apply();
    }

    /// <summary>All goes to QEMU, for good.</summary>
    public void End()
    {
        _ended = true;
        Apply();
    }

    private void Register(in ZpciFib fib)
    {
        var word = new ZpciInterruptWord(fib.InterruptWord);
        bool isKnown = fib.Format == ZpciFib.AdapterInterrupts && word.HasSummary;
        _place = isKnown ? new AdapterIndicatorPlace(fib.VectorAddress, word.VectorOffset, word.Interrupts, fib.SummaryAddress, word.SummaryOffset) : null;
        Apply();
    }

    private void Apply()
    {
        lock (_aiming)
        {
            EndAim();
        }

        if (_ended || !_hasTables || _place is not { } place || _channel is null || _channel.Processors < FewestProcessors)
        {
            return;
        }

        try
        {
            int[] messages = _table.Messages();
            if (Array.Exists(messages, message => message != TapMessageTable.Nothing))
            {
                Show(new Aim(new AdapterIndicators(memory, place, static () => { }), messages, _channel));
            }
        }
        catch (VfioException refused)
        {
            log?.Invoke($"interrupts go to QEMU: {refused.Message}");
        }
    }

    private void Show(Aim aim)
    {
        lock (_aiming)
        {
            if (_losses == 0)
            {
                Volatile.Write(ref _aim, aim);
                return;
            }
        }

        // What this was made from is out of date; the tap's thread is about to learn of it.
        aim.Indicators.Dispose();
    }

    /// <summary>With the lock held, so that whoever finds no aim knows that nobody writes by the one before.</summary>
    private void EndAim()
    {
        if (_aim is { } old)
        {
            Volatile.Write(ref _aim, null);
            old.Indicators.Dispose();
        }
    }

    private sealed record Aim(AdapterIndicators Indicators, int[] Messages, TapChannel Channel);
}
