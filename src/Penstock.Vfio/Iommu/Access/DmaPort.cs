using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// A function's way to memory: through whatever domain its IOMMU group is attached to at that moment. May be used from any thread;
/// allocates nothing, takes no lock. Blocked while bus mastering is off (EACCES) and while the group has no domain (EFAULT).
/// An emulated device that is bound to an iommufd has no domain: its port copies through the device's access, which locks, and lends nothing.
/// </summary>
public sealed partial class DmaPort
{
    private readonly IommuGroup? _group;
    private readonly VfioDevice? _device;
    private readonly Lock _judging = new();
    private volatile bool _busMaster;

    // The group while the port lends without conditions, so that entering looks at one word: bus mastering on, neither suspended nor logged.
    private volatile IommuGroup? _lending;

    /// <summary>Creates the port with bus mastering off.</summary>
    /// <param name="group">The function's group.</param>
    /// <param name="strand">The function's line of execution.</param>
    public DmaPort(IommuGroup group, Strand strand)
    {
        ArgumentNullException.ThrowIfNull(group);
        ArgumentNullException.ThrowIfNull(strand);
        _group = group;
        Strand = strand;
    }

    /// <summary>
    /// Creates the port of a device that has a group only while it is registered, as emulated ones do, with bus mastering off. Without a
    /// group DMA is blocked.
    /// </summary>
    /// <param name="device">The device.</param>
    /// <param name="strand">Its line of execution.</param>
    public DmaPort(VfioDevice device, Strand strand)
    {
        ArgumentNullException.ThrowIfNull(device);
        ArgumentNullException.ThrowIfNull(strand);
        _device = device;
        Strand = strand;
    }

    /// <summary>The function's line of execution.</summary>
    public Strand Strand { get; }

    private IommufdAccess? Access => _function is not null ? null : (_group ?? _device!.Group)?.Access;

    /// <summary>
    /// Whether the function may start DMA: for PCI, Bus Master Enable. The owner of the function's configuration sets it.
    /// </summary>
    public bool BusMasterEnabled
    {
        get => _busMaster;
        set
        {
            _busMaster = value;
            Judge();
        }
    }

    /// <summary>How often the group's domain was switched: a port that leads where it did before may have led elsewhere in between.</summary>
    private int Switches => (_group ?? _device?.Group)?.Switches ?? 0;

    /// <summary>
    /// Copies out of the user's memory. When the memory is reached by messages this blocks; work on the strand gives the strand free meanwhile.
    /// </summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="destination">Where to copy, and how much.</param>
    /// <returns>
    /// None; EACCES: bus mastering is off; EBUSY: the device is stopped for migration; EFAULT: a hole, or DMA is blocked; EPERM: a mapping
    /// does not let devices read; EDEADLK: the memory needs messages and this is a register call; ECANCELED: the function was reset
    /// meanwhile; the error of copied or message memory.
    /// </returns>
    public Errno Read(ulong iova, Span<byte> destination) => Copy(new DmaTransfer(this), iova, destination, DmaAccess.Read);

    /// <summary>
    /// As <see cref="Read(ulong, Span{byte})"/>, as part of a transfer that has begun before: work of several steps that a reset ends as a whole.
    /// </summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="destination">Where to copy, and how much.</param>
    /// <param name="transfer">The transfer, of this port.</param>
    /// <returns>As there; ECANCELED: the function was reset since the transfer began.</returns>
    public Errno Read(ulong iova, Span<byte> destination, DmaTransfer transfer) => Copy(transfer, iova, destination, DmaAccess.Read);

    /// <summary>Copies into the user's memory; as <see cref="Read(ulong, Span{byte})"/>.</summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="source">What to copy.</param>
    /// <returns>As <see cref="Read(ulong, Span{byte})"/>; EPERM: a mapping does not let devices write.</returns>
    public Errno Write(ulong iova, ReadOnlySpan<byte> source) =>
        Copy(new DmaTransfer(this), iova, TranslatingDomain.Writeable(source), DmaAccess.Write);

    /// <summary>As <see cref="Write(ulong, ReadOnlySpan{byte})"/>, as part of a transfer that has begun before.</summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="source">What to copy.</param>
    /// <param name="transfer">The transfer, of this port.</param>
    /// <returns>As there; ECANCELED: the function was reset since the transfer began.</returns>
    public Errno Write(ulong iova, ReadOnlySpan<byte> source, DmaTransfer transfer) =>
        Copy(transfer, iova, TranslatingDomain.Writeable(source), DmaAccess.Write);

    /// <summary>
    /// Begins a transfer of several steps: whatever of it is still to do after a reset of the function, or after
    /// <see cref="CancelTransfers"/>, is not done.
    /// </summary>
    /// <returns>The transfer.</returns>
    public DmaTransfer BeginTransfer() => new(this);

    /// <summary>
    /// As <see cref="Read(ulong, Span{byte})"/>, without blocking a thread on messages; allowed in register calls. While the device is
    /// stopped for migration it waits. Goes on on any thread: post what must run on the strand.
    /// </summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="destination">Where to copy; must not be touched until done.</param>
    /// <param name="cancellation">Gives up waiting for the peer.</param>
    /// <returns>As <see cref="Read(ulong, Span{byte})"/>, but not EDEADLK; ECANCELED also by <paramref name="cancellation"/>.</returns>
    public ValueTask<Errno> ReadAsync(ulong iova, Memory<byte> destination, CancellationToken cancellation = default) =>
        CopyAsync(new DmaTransfer(this), iova, destination, DmaAccess.Read, cancellation);

    /// <summary>As <see cref="Write(ulong, ReadOnlySpan{byte})"/>, without blocking a thread on messages; as <see cref="ReadAsync"/>.</summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="source">What to copy; must not change until done.</param>
    /// <param name="cancellation">Gives up waiting for the peer.</param>
    /// <returns>As <see cref="Write(ulong, ReadOnlySpan{byte})"/>, but not EDEADLK; ECANCELED also by <paramref name="cancellation"/>.</returns>
    public ValueTask<Errno> WriteAsync(ulong iova, ReadOnlyMemory<byte> source, CancellationToken cancellation = default) =>
        CopyAsync(new DmaTransfer(this), iova, MemoryMarshal.AsMemory(source), DmaAccess.Write, cancellation);

    /// <summary>Enters a scope in which memory can be borrowed. While DMA is blocked nothing can.</summary>
    /// <returns>The scope; dispose it soon.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public DmaScope Enter()
    {
        int thread = CallingThread.KnownId;
        return _lending is { } group && group.Translating is { } domain ? new DmaScope(thread, domain, this, group) : EnterChecked();
    }

    /// <summary>Runs work on the strand, after the reply of the register call in progress has gone out.</summary>
    /// <param name="work">The work.</param>
    public void Post(Action work) => Strand.Post(work);

    /// <summary>As <see cref="Strand.Post(Func{Task})"/>.</summary>
    /// <param name="work">The work.</param>
    public void Post(Func<Task> work) => Strand.Post(work);

    /// <summary>Whether the port still lends without conditions, as it did when a scope was about to be entered. Asked inside the scope.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool Lends(IommuGroup group, TranslatingDomain domain) =>
        ReferenceEquals(_lending, group) && ReferenceEquals(group.Translating, domain);

    /// <summary>Enters by looking at every condition.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    internal DmaScope EnterChecked() => Domain is TranslatingDomain domain ? new DmaScope(domain, this) : default;

    /// <summary>
    /// Whether DMA of the port goes through a domain now. Asked inside a scope of it: whoever blocks the port, or attaches its group to
    /// another domain, waits for scopes from before.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool LeadsTo(TranslatingDomain domain) => _function is null
        ? _resumed is null && _busMaster && ReferenceEquals((_group ?? _device!.Group)?.Domain, domain)
        : Find(out TranslatingDomain? found) == Errno.None && ReferenceEquals(found, domain);

    /// <summary>As for a domain; asked with the gate of the access's context held.</summary>
    internal bool LeadsTo(IommufdAccess access) => Blocked == Errno.None && ReferenceEquals(Access, access);

    /// <summary>Decides anew whether the port lends without conditions. After each change of one of them, before waiting for scopes.</summary>
    private void Judge()
    {
        lock (_judging)
        {
            _lending = _function is null && _busMaster && _resumed is null && _log is null ? _group : null;
        }
    }

    private IommuDomain? Domain
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get
        {
            IommuGroup? group = _group ?? _device!.Group;
            return _function is null ? group?.Domain : group?.GetDomain(_pasid);
        }
    }

    private Errno Blocked
    {
        get
        {
            DmaPort function = _function ?? this;
            return function._resumed is not null ? Errno.EBUSY : !function._busMaster ? Errno.EACCES : Errno.None;
        }
    }

    private Errno Find(out TranslatingDomain? domain)
    {
        domain = Domain as TranslatingDomain;
        Errno blocked = Blocked;
        return blocked != Errno.None ? blocked : domain is null ? Errno.EFAULT : Errno.None;
    }

    /// <summary>Copies through what is in force, and what is left through the next one when it changes meanwhile.</summary>
    private Errno Copy(DmaTransfer transfer, ulong iova, Span<byte> data, DmaAccess access)
    {
        while (true)
        {
            if (transfer.IsCanceled)
            {
                return Errno.ECANCELED;
            }

            int switches = Switches;
            Errno errno = Find(out TranslatingDomain? domain);
            int copied;
            bool same;
            if (errno == Errno.None)
            {
                errno = domain!.Copy(iova, data, access, transfer, out copied);
                same = LeadsTo(domain) && switches == Switches;
            }
            else if (errno == Errno.EFAULT && Access is { } through)
            {
                errno = through.CopyDma(iova, data, access, transfer, out copied);
                same = LeadsTo(through);
            }
            else
            {
                return errno;
            }

            if (errno != Errno.EFAULT || (same && !transfer.IsCanceled))
            {
                return errno;
            }

            data = data[copied..];
            iova += (ulong)copied;
        }
    }

    private ValueTask<Errno> CopyAsync(DmaTransfer transfer, ulong iova, Memory<byte> data, DmaAccess access, CancellationToken cancellation)
    {
        if (transfer.IsCanceled)
        {
            return new(Errno.ECANCELED);
        }

        int switches = Switches;
        Errno errno = Find(out TranslatingDomain? domain);
        IommufdAccess? through = errno == Errno.EFAULT ? Access : null;
        if (errno != Errno.None && through is null)
        {
            return errno == Errno.EBUSY ? CopyLater(transfer, iova, data, access, cancellation) : new(errno);
        }

        return CopyAsync(transfer, switches, domain, through, iova, data, access, cancellation);
    }

    private async ValueTask<Errno> CopyAsync(
        DmaTransfer transfer,
        int switches,
        TranslatingDomain? domain,
        IommufdAccess? through,
        ulong iova,
        Memory<byte> data,
        DmaAccess access,
        CancellationToken cancellation)
    {
        (Errno errno, int copied) = domain is not null
            ? await domain.CopyAsync(iova, data, access, transfer, cancellation).ConfigureAwait(false)
            : await through!.CopyDmaAsync(iova, data, access, transfer, cancellation).ConfigureAwait(false);
        if (errno != Errno.EFAULT || (!transfer.IsCanceled && (domain is not null ? LeadsTo(domain) && switches == Switches : LeadsTo(through!))))
        {
            return errno;
        }

        return await CopyAsync(transfer, iova + (ulong)copied, data[copied..], access, cancellation).ConfigureAwait(false);
    }
}
