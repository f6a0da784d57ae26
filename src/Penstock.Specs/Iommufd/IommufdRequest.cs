namespace Penstock.Specs.Iommufd;

/// <summary>Requests of an iommufd context (linux/iommufd.h): type 0x3b, numbers from 0x80.</summary>
public enum IommufdRequest : uint
{
    /// <summary>Destroys an object.</summary>
    Destroy = 0x3b80,

    /// <summary>Makes an I/O address space.</summary>
    IoasAlloc = 0x3b81,

    /// <summary>Limits automatic placement.</summary>
    IoasAllowIovas = 0x3b82,

    /// <summary>Maps what is mapped elsewhere once more.</summary>
    IoasCopy = 0x3b83,

    /// <summary>Which addresses can be mapped.</summary>
    IoasIovaRanges = 0x3b84,

    /// <summary>Maps user memory.</summary>
    IoasMap = 0x3b85,

    /// <summary>Unmaps.</summary>
    IoasUnmap = 0x3b86,

    /// <summary>Reads or sets an option.</summary>
    Option = 0x3b87,

    /// <summary>The address space that stands for a container.</summary>
    VfioIoas = 0x3b88,

    /// <summary>Makes a hardware page table.</summary>
    HwptAlloc = 0x3b89,

    /// <summary>What the device's IOMMU is.</summary>
    GetHardwareInfo = 0x3b8a,

    /// <summary>Starts or stops dirty tracking.</summary>
    HwptSetDirtyTracking = 0x3b8b,

    /// <summary>Reads dirty bits.</summary>
    HwptGetDirtyBitmap = 0x3b8c,

    /// <summary>Drops cached translations of a nested table.</summary>
    HwptInvalidate = 0x3b8d,

    /// <summary>Makes a queue of I/O page faults.</summary>
    FaultQueueAlloc = 0x3b8e,

    /// <summary>Maps part of a memory file.</summary>
    IoasMapFile = 0x3b8f,
}
