namespace Penstock.Vfio.Tests.Model;

/// <summary>Something that steps can be done to: the naive books, or the library.</summary>
internal interface IWorld
{
    /// <summary>Does a step; null when it means nothing here, such as closing what is not open.</summary>
    Outcome? Apply(Step step);

    /// <summary>All that can be seen from outside, in a fixed order.</summary>
    void Observe(List<long> into);
}
