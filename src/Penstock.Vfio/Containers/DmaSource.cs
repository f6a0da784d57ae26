namespace Penstock.Vfio;

/// <summary>The memory that a map request names: an object and an offset in it, or an address in the caller's address space.</summary>
public readonly struct DmaSource
{
    /// <summary>Names memory by its object.</summary>
    /// <param name="memory">The memory.</param>
    /// <param name="offset">Offset of the first byte.</param>
    public DmaSource(UserMemory memory, ulong offset)
    {
        ArgumentNullException.ThrowIfNull(memory);
        Memory = memory;
        Address = offset;
    }

    /// <summary>Names memory by its address, which is looked up when a device needs it.</summary>
    /// <param name="space">The caller's address space.</param>
    /// <param name="address">The address of the first byte.</param>
    public DmaSource(IUserAddressSpace space, ulong address)
    {
        ArgumentNullException.ThrowIfNull(space);
        Space = space;
        Address = address;
    }

    /// <summary>The object; null when an address was named.</summary>
    public UserMemory? Memory { get; }

    /// <summary>The address space; null when an object was named.</summary>
    public IUserAddressSpace? Space { get; }

    /// <summary>The address, or the offset in the object.</summary>
    public ulong Address { get; }

    /// <inheritdoc/>
    public override string ToString() => Memory is null ? $"address 0x{Address:x}" : $"offset 0x{Address:x} in the memory";
}
