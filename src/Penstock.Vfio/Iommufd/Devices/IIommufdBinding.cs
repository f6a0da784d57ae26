namespace Penstock.Vfio;

/// <summary>What a device has in the iommufd that it is bound to: a device object, or an access when nothing but software does its DMA.</summary>
internal interface IIommufdBinding
{
    IommufdContext Context { get; }

    uint Id { get; }

    bool IsAttached { get; }

    /// <summary>Attaches it.</summary>
    /// <param name="id">Id of an address space, or for real devices of a page table.</param>
    /// <returns>Id of what it is attached to in the end.</returns>
    uint Attach(uint id);

    uint Replace(uint id);

    void Detach();
}
