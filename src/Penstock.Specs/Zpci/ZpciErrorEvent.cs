namespace Penstock.Specs.Zpci;

/// <summary>Codes of error events (pec).</summary>
public enum ZpciErrorEvent : ushort
{
    /// <summary>No error.</summary>
    None = 0,

    /// <summary>Nothing is registered for DMA, or in no such address space.</summary>
    InvalidAddressSpace = 0x1,

    /// <summary>The address is outside of what is registered.</summary>
    AddressOutOfRange = 0x2,

    /// <summary>The designation is of a kind that does not translate.</summary>
    InvalidTranslationFormat = 0x3,

    /// <summary>The translation forbids it, or there is none.</summary>
    TranslationProtection = 0x4,

    /// <summary>The access is forbidden.</summary>
    AccessProtection = 0x5,

    /// <summary>The storage key forbids it.</summary>
    StorageKey = 0x6,

    /// <summary>A table entry is all zero.</summary>
    InvalidTableEntry = 0x7,

    /// <summary>A region entry does not designate a whole table.</summary>
    InvalidTableLength = 0x8,

    /// <summary>A table entry is of the wrong level, or leads to address 0.</summary>
    TranslationType = 0x9,

    /// <summary>"INVALMS"; no more than the name is known.</summary>
    InvalidMs = 0xa,

    /// <summary>A system error.</summary>
    SystemError = 0xb,

    /// <summary>A message came while no interrupts are registered.</summary>
    NoMsiRegistered = 0x10,

    /// <summary>The bit vector is invalid.</summary>
    InvalidBitVector = 0x11,

    /// <summary>The interrupt bit vector cannot be written.</summary>
    AibvError = 0x12,

    /// <summary>The adapter interruption cannot be requested.</summary>
    AdapterInterruptRequest = 0x13,

    /// <summary>The measurement block cannot be written.</summary>
    MeasurementAddress = 0x2a,

    /// <summary>The measurement block cannot be updated.</summary>
    MeasurementUpdate = 0x2b,

    /// <summary>The measurement block is protected by its key.</summary>
    MeasurementProtection = 0x2c,

    /// <summary>A configuration error.</summary>
    Configuration = 0x30,

    /// <summary>A service action is needed.</summary>
    ServiceAction = 0x3a,

    /// <summary>A permanent error.</summary>
    Permanent = 0x3b,
}
