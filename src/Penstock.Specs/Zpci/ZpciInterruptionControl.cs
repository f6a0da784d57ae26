namespace Penstock.Specs.Zpci;

/// <summary>Operations of SIC.</summary>
public enum ZpciInterruptionControl : ushort
{
    /// <summary>Every adapter interruption of the subclass comes through.</summary>
    All = 0,

    /// <summary>One adapter interruption of the subclass comes through, then none until asked again.</summary>
    Single = 1,

    /// <summary>Set the controls of adapter event notification interpretation from a <see cref="ZpciAipb"/>.</summary>
    SetAeniControls = 2,

    /// <summary>Directed interruptions.</summary>
    Direct = 4,

    /// <summary>Every directed interruption comes through.</summary>
    DirectAll = 16,

    /// <summary>One directed interruption comes through.</summary>
    DirectSingle = 17,
}
