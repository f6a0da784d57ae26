using Penstock.Interop;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390;

/// <summary>
/// No translation at all (relaxed translation): the function is registered without tables, and its first DMA address leads to the first byte of
/// memory. Nothing can be mapped or unmapped. One function at a time can be attached, because the start is its own.
/// </summary>
public sealed class ZpciIdentityDomain : TranslatingDomain
{
    private readonly UserMemory _memory;
    private readonly Func<IommuGroup, IZpciHostFunction?> _functionOf;
    private readonly Lock _attaching = new();
    private IZpciHostFunction? _function;
    private ulong _start = ulong.MaxValue;
    private int _disposed;

    internal ZpciIdentityDomain(UserMemory memory, Func<IommuGroup, IZpciHostFunction?> functionOf)
    {
        ArgumentNullException.ThrowIfNull(memory);
        memory.Hold();
        _memory = memory;
        _functionOf = functionOf;
    }

    /// <inheritdoc/>
    public override IovaRange Aperture => IovaRange.All;

    /// <inheritdoc/>
    public override ulong PageSizes => ZpciIoTable.PageSize;

    /// <inheritdoc/>
    public override int Count => 0;

    /// <inheritdoc/>
    protected override bool BlocksFirst(IommuGroup group) => true;

    /// <inheritdoc/>
    public override void Map(ulong iova, ulong size, DmaAccess access, UserMemory memory, ulong memoryOffset) =>
        throw new VfioException(Errno.EINVAL, $"mapping [0x{iova:x}, +0x{size:x})", "the domain does not translate");

    /// <inheritdoc/>
    public override ulong Unmap(IovaRange range) => throw new VfioException(Errno.EINVAL, $"unmapping {range}", "the domain does not translate");

    /// <summary>As <see cref="ZpciDomain.Reregister"/>.</summary>
    internal static void Reregister(IZpciHostFunction function)
    {
        ZpciAnswer answer = function.RegisterIoat(function.DmaWindow.First, function.DmaWindow.Last, 0);
        if (!answer.IsRegistered)
        {
            throw new VfioException(Errno.EIO, $"attaching {function.Name}", $"its firmware does not do without tables: {answer}; its DMA is blocked");
        }
    }

    /// <inheritdoc/>
    protected override void Attaching(IommuGroup group)
    {
        lock (_attaching)
        {
            if (_function is { } other)
            {
                throw new VfioException(Errno.EBUSY, $"attaching {group}", $"{other.Name} is attached; take another domain");
            }
        }
    }

    /// <inheritdoc/>
    protected override void Register(IommuGroup group)
    {
        lock (_attaching)
        {
            IZpciHostFunction function = _functionOf(group)
                ?? throw new VfioException(Errno.EINVAL, $"attaching {group}", "it has no zPCI function");
            Reregister(function);
            _function = function;
            Volatile.Write(ref _start, function.DmaWindow.First);
        }
    }

    /// <inheritdoc/>
    protected override void Detached(IommuGroup group)
    {
        lock (_attaching)
        {
            _function?.DeregisterIoat();
            _function = null;
            Volatile.Write(ref _start, ulong.MaxValue);
        }
    }

    /// <inheritdoc/>
    protected override Errno Translate(ulong iova, DmaAccess access, out DmaTarget target)
    {
        ulong start = Volatile.Read(ref _start);
        ulong offset = iova - start;
        if (start == ulong.MaxValue || iova < start || offset >= _memory.Length)
        {
            target = default;
            return Errno.EFAULT;
        }

        target = new DmaTarget(_memory, offset, _memory.Length - offset);
        return (access & ~_memory.Allowed) == 0 ? Errno.None : Errno.EPERM;
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            Volatile.Write(ref _start, ulong.MaxValue);
            WaitForScopes();
            _memory.Release();
        }
    }
}
