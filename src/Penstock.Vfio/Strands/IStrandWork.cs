namespace Penstock.Vfio;

/// <summary>Work for a <see cref="Strand"/> that can be posted again and again without allocating.</summary>
public interface IStrandWork
{
    /// <summary>Does the work, on the strand.</summary>
    void Run();
}
