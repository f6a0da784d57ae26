using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// One vector of a function whose interruptions are forwarded, as a consumer of the interrupt bypass: what the device's producer of the same
/// eventfd sends goes straight into the guest's memory. Unlike the s390 interface, which covers all vectors of a function by its handle,
/// the bypass joins vector by vector; both end in the same registration. Disposing takes the vector back to its eventfd.
/// </summary>
public sealed class AifBypassAdapter : IrqBypassConsumer, IDisposable
{
    private readonly IrqBypass _bypass;
    private readonly AdapterInterrupts _interrupts;
    private readonly int _vector;
    private int _disposed;

    /// <summary>Registers the vector.</summary>
    /// <param name="bypass">The host's bypass.</param>
    /// <param name="eventfd">The eventfd that the VMM has bound to the vector.</param>
    /// <param name="interrupts">Where the function's interruptions go.</param>
    /// <param name="vector">Number of the vector.</param>
    /// <exception cref="VfioException">EBUSY: another consumer has the eventfd; EINVAL: the guest has not registered so many vectors.</exception>
    public AifBypassAdapter(IrqBypass bypass, EventDescriptor eventfd, AdapterInterrupts interrupts, int vector)
        : base((eventfd ?? throw new ArgumentNullException(nameof(eventfd))).Identity)
    {
        ArgumentNullException.ThrowIfNull(bypass);
        ArgumentNullException.ThrowIfNull(interrupts);
        if ((uint)vector >= (uint)interrupts.Vectors)
        {
            throw new VfioException(Errno.EINVAL, $"forwarding vector {vector}", $"the guest has registered {interrupts.Vectors} vectors");
        }

        _bypass = bypass;
        _interrupts = interrupts;
        _vector = vector;
        bypass.Register(this);
    }

    /// <summary>Takes the vector back; interrupts then go through the eventfd again.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            _bypass.Unregister(this);
        }
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
    protected override void Deliver() => _interrupts.Deliver(_vector);
}
