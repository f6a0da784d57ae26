using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>One vector that a device signals: by its eventfd, or past it when both are in this process.</summary>
internal sealed class ZpciMsixVector : IrqBypassConsumer, IDisposable
{
    private readonly ZpciMsix _msix;
    private readonly VfioHost _host;
    private readonly int _vector;
    private readonly EventWatch _watch;
    private readonly bool _bypasses;

    /// <exception cref="SystemCallException">The process has no descriptor left.</exception>
    public ZpciMsixVector(ZpciMsix msix, int vector, VfioHost host)
        : this(msix, vector, host, EventDescriptor.Create(host.Ledger))
    {
    }

    private ZpciMsixVector(ZpciMsix msix, int vector, VfioHost host, EventDescriptor events)
        : base(events.Identity)
    {
        _msix = msix;
        _host = host;
        _vector = vector;
        Event = events;
        try
        {
            _watch = host.Events.Watch(events, _ => _msix.Signalled(_vector));
        }
        catch
        {
            events.Dispose();
            throw;
        }

        try
        {
            host.IrqBypass.Register(this);
            _bypasses = true;
        }
        catch (VfioException)
        {
            // The eventfd works without.
        }
    }

    /// <summary>What the device signals.</summary>
    public EventDescriptor Event { get; }

    public void Dispose()
    {
        if (_bypasses)
        {
            _host.IrqBypass.Unregister(this);
        }

        _watch.Dispose();
    }

    /// <inheritdoc/>
    protected override void AddProducer(IrqBypassProducer producer)
    {
    }

    /// <inheritdoc/>
    protected override void RemoveProducer(IrqBypassProducer producer)
    {
    }

    /// <inheritdoc/>
    protected override void Deliver() => _msix.Signalled(_vector);
}
